// Somebody else was faster: what was loaded, what they made of it, and what you did.
import { useEffect, useRef } from "preact/hooks";
import { Diff } from "./diff";
import { Notice } from "./parts";

export interface Row {
  name: string;
  base: string;
  mine: string;
  theirs: string;
}

interface Given {
  what: string;
  base: string;
  mine: string;
  theirs: string;
  /** Value by value, where the values are known. */
  rows?: Row[];
  onTheirs: () => void;
  onMine: () => void;
}

/** Three-way differences; nothing is written over before somebody decides. */
export function Conflict(given: Given) {
  const section = useRef<HTMLElement>(null);
  useEffect(() => {
    section.current!.focus({ preventScroll: true });
    scrollTo(0, 0);
  }, []);
  return (
    <section class="conflict" aria-label="Conflict" ref={section} tabindex={-1}>
      <Notice tone="warning" actions={
        <>
          <button type="button" onClick={given.onTheirs}>Take theirs</button>
          <button type="button" class="primary" onClick={given.onMine}>Put mine on top</button>
        </>
      }>
        <p><strong>{given.what} was changed meanwhile.</strong> Nothing of yours is saved yet. Your
          changes can be put on top of theirs: you see the result before it is saved.</p>
      </Notice>
      {given.rows && <Rows rows={given.rows} />}
      <div class="columns">
        <div class="panel">
          <h3>Theirs, against what you loaded</h3>
          <Diff old={given.base} now={given.theirs} labels={["Loaded", "Theirs"]} isUnified />
        </div>
        <div class="panel">
          <h3>Yours, against what you loaded</h3>
          <Diff old={given.base} now={given.mine} labels={["Loaded", "Yours"]} isUnified />
        </div>
      </div>
    </section>
  );
}

function Rows({ rows }: { rows: Row[] }) {
  return (
    <div class="panel scroll" tabindex={0}>
      <table class="rows">
        <caption class="hidden">Values that differ</caption>
        <thead>
          <tr>
            <th scope="col">Element</th><th scope="col">Loaded</th>
            <th scope="col">Theirs</th><th scope="col">Yours</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.name} class={isFought(row) ? "fought" : ""}>
              <th scope="row"><code>{row.name}</code></th>
              <td>{row.base}</td>
              <td class={row.theirs !== row.base ? "changed" : ""}>{row.theirs}</td>
              <td class={row.mine !== row.base ? "changed" : ""}>{row.mine}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Whether both changed the same value, and not to the same. */
function isFought(row: Row): boolean {
  return row.theirs !== row.base && row.mine !== row.base && row.theirs !== row.mine;
}
