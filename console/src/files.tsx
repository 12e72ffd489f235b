// The files as they are: edited, and, when a manual edit has errors, shown beside the last good.
import { useEffect, useState } from "preact/hooks";
import { check, getFile, getRevision, Problem, putFile } from "./api";
import { Diff } from "./diff";
import { beat } from "./live";
import { Failure, Violations } from "./parts";
import { route, to } from "./router";
import { may, status } from "./session";
import { TextView } from "./text";
import type { Violation } from "./types";

export function Files() {
  const head = status.value?.revision.head;
  const [names, setNames] = useState<string[]>([]);
  useEffect(() => {
    if (head) void getRevision(head).then((found) => setNames(Object.keys(found.files)), () => {});
  }, [head]);
  const main = status.value?.serverXml.split("/").pop() ?? "Server.xml";
  const name = route.value.slice(1).join("/") || main;
  const drift = status.value?.drift;
  const isBroken = drift?.violations.some((each) => each.severity === "error") ?? false;
  return (
    <>
      <div class="title">
        <h1>Files</h1>
        <nav class="tabs" aria-label="Files">
          {(names.length ? names : [main]).map((each) => (
            <a key={each} href={to("files", each)} aria-current={each === name ? "page" : undefined}>{each}</a>
          ))}
        </nav>
      </div>
      {isBroken && drift
        ? <Broken key={name} name={name} violations={drift.violations} />
        : <Whole key={name} name={name} main={main} />}
    </>
  );
}

/** A manual edit with errors, in place, and the last good version beside it. */
function Broken({ name, violations }: { name: string; violations: Violation[] }) {
  const [texts, setTexts] = useState<[string, string] | null>(null);
  const [error, setError] = useState<unknown>(null);
  const here = violations.filter((each) => each.file === name);
  useEffect(() => {
    const good = getFile(name).then((found) => found.value, () => "");
    Promise.all([good, getFile(name, "disk")])
      .then(([old, now]) => setTexts([old, now.value]), setError);
  }, [name, beat.value]);
  return (
    <>
      <section class="panel" aria-labelledby="faults">
        <h2 id="faults">What is wrong</h2>
        <Violations found={violations} />
        <p class="quiet small">Until it is right, the engine goes on with the last good version, and nothing
          can be saved here: what somebody is working on is never written over. Save the file right, and
          it is taken up at once.</p>
      </section>
      {error !== null && <Failure error={error} />}
      {texts && (
        <section class="panel fill" aria-label={name}>
          <div class="sides"><h2 class="file">Last good version</h2><h2 class="file">On disk, with errors</h2></div>
          <Diff old={texts[0]} now={texts[1]} violations={here}
            labels={[`${name}, the last good version`, `${name} on disk, with errors`]} />
        </section>
      )}
    </>
  );
}

/** A whole file in the editor. */
function Whole({ name, main }: { name: string; main: string }) {
  const isReadOnly = !may("admin");
  const here = (found: Violation[]) => found.filter((each) => each.file === name);
  return (
    <>
      {isReadOnly && <p class="quiet">Only the role admin may save whole files.</p>}
      <TextView what={name} label={name} around="" isReadOnly={isReadOnly}
        load={() => getFile(name)}
        save={(text, how) => putFile(name, text, how)}
        check={async (text, tag, signal) => here(name === main
          ? (await check(text, null, signal)).violations
          : await tried(putFile(name, text, { tag, dryRun: true })))} />
    </>
  );
}

/** What is wrong with an included file: the check takes only whole configurations. */
async function tried(saving: Promise<{ violations: Violation[] }>): Promise<Violation[]> {
  try {
    return (await saving).violations;
  } catch (error) {
    return error instanceof Problem ? error.violations : [];
  }
}
