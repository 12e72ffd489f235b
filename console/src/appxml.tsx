// An application as the XML that is written, edited in place of what is there.
import { check, getElement, type Place, putElement } from "./api";
import { APPLICATION } from "./schema";
import { may } from "./session";
import { TextView } from "./text";
import type { Violation } from "./types";

const AROUND = APPLICATION.slice(0, APPLICATION.lastIndexOf("/"));

export function ApplicationXml({ path, name }: { path: string; name: string }) {
  return (
    <TextView what={`The application ${name}`} label={`${name} as XML`} around={AROUND}
      isReadOnly={!may("write")}
      load={() => getElement(path)}
      save={(text, how) => putElement(path, text, how)}
      check={async (text, _, signal) => {
        const found = await check(text, path, signal);
        return inside(found.violations, found.place, text.split("\n").length);
      }} />
  );
}

/** What is wrong in an element that begins at a place, at lines and columns of its own text. */
function inside(found: Violation[], { file, line, column }: Place, lines: number): Violation[] {
  return found
    .filter((each) => each.file === file && each.line >= line && each.line < line + lines)
    .map((each) => ({
      ...each,
      line: each.line - line + 1,
      column: each.line === line ? each.column - column + 1 : each.column,
    }));
}
