// Builds the page from src/ into the Python package, or into the folder given: the same bytes
// from the same sources and the versions in package-lock.json.
import { build } from "esbuild";
import { cp } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const target = process.argv[2] ?? here("../omeconf/api/console");

await build({
  entryPoints: { console: here("src/main.tsx") },
  outdir: target,
  bundle: true,
  minify: true,
  format: "esm",
  target: ["es2022"],
  jsx: "automatic",
  jsxImportSource: "preact",
  charset: "utf8",
  legalComments: "eof",
  logLevel: "warning",
});
await cp(here("static"), target, { recursive: true });
