// The history: every revision, any two of them side by side, and the way back to each.
import { useEffect, useState } from "preact/hooks";
import { getDifference, getReloads, getRevision, getRevisions, rollback } from "./api";
import { Diff } from "./diff";
import { beat } from "./live";
import { Outcome } from "./overview";
import { Changes, Failure, Plan, Time } from "./parts";
import { RevisionLine } from "./revision";
import { go, route, to } from "./router";
import { Save } from "./save";
import { may, status } from "./session";
import type { Difference, Reload, Revision } from "./types";

const PAGE = 50;

export function History() {
  const [found, setFound] = useState<Revision[]>([]);
  const [error, setError] = useState<unknown>(null);
  const [shown, setShown] = useState(PAGE);
  const [picked, setPicked] = useState<number[]>([]);
  useEffect(() => void getRevisions(shown).then(setFound, setError), [beat.value, shown]);
  const pick = (number: number) =>
    setPicked(picked.includes(number) ? picked.filter((each) => each !== number) : [...picked, number].slice(-2));
  const [first, second] = [...picked].sort((one, other) => one - other);
  return (
    <>
      <div class="title">
        <h1>History</h1>
        <div class="actions">
          <span class="quiet small" aria-live="polite">{picked.length < 2 && "Pick two to compare."}</span>
          <button type="button" class="primary" disabled={second === undefined}
            onClick={() => go("compare", first!, second!)}>
            Compare{second !== undefined && ` ${first} and ${second}`}
          </button>
        </div>
      </div>
      {error !== null && <Failure error={error} />}
      <ul class="panel history">
        {found.map((revision) => (
          <Entry key={revision.number} revision={revision} isPicked={picked.includes(revision.number)}
            onPick={() => pick(revision.number)} />
        ))}
      </ul>
      {found.length === shown && (
        <button type="button" onClick={() => setShown(shown + PAGE)}>Older ones</button>
      )}
    </>
  );
}

function Entry(given: { revision: Revision; isPicked: boolean; onPick: () => void }) {
  const { revision, isPicked, onPick } = given;
  const isHead = revision.number === status.value?.revision.head;
  return (
    <li class={isHead ? "head" : ""}>
      <input type="checkbox" checked={isPicked} onChange={onPick}
        aria-label={`Compare revision ${revision.number}`} />
      <div class="grow">
        <a class="row" href={to("compare", revision.parent, revision.number)}>
          <RevisionLine revision={revision} />
        </a>
        {revision.changes && revision.changes.length > 0 && (
          <Changes found={revision.changes} more={revision.changesMore} />
        )}
        {revision.reverts.length > 0 && (
          <p class="small quiet">takes back {revision.reverts.join(", ")}</p>
        )}
      </div>
      {isHead ? <span class="small quiet">newest</span> : <Back number={revision.number} />}
    </li>
  );
}

/** The way back to an old state, with what it changes and restarts. */
export function Back({ number }: { number: number }) {
  const [isOpen, setOpen] = useState(false);
  const base = status.value?.revision.head;
  if (!may("admin") || !base) return null;
  return (
    <>
      <button type="button" class="small" onClick={() => setOpen(true)}>
        Roll back to {number}
      </button>
      {isOpen && (
        <Save title={`Roll back to revision ${number}`} verb="Roll back"
          run={(how) => rollback(number, how, base)}
          onClose={() => setOpen(false)} onDone={() => setOpen(false)} />
      )}
    </>
  );
}

interface Two {
  old: Revision & { files: Record<string, string> };
  now: Revision & { files: Record<string, string> };
  difference: Difference;
  reloads: Reload[];
}

/** Two revisions side by side. */
export function Compare() {
  const [first, second] = route.value.slice(1, 3).map(Number) as [number, number];
  const [two, setTwo] = useState<Two | null>(null);
  const [error, setError] = useState<unknown>(null);
  useEffect(() => {
    setTwo(null);
    loaded(first, second).then(setTwo, setError);
  }, [first, second]);
  return (
    <>
      <nav class="crumbs" aria-label="Where this is"><a href={to("history")}>History</a></nav>
      <div class="title">
        <h1>{first === 0 ? `Revision ${second}` : `Revision ${first} → ${second}`}</h1>
        {second !== status.value?.revision.head && <Back number={second} />}
        {first !== 0 && first !== second && <Back number={first} />}
      </div>
      {error !== null && <Failure error={error} />}
      {two && <Shown two={two} />}
    </>
  );
}

async function loaded(first: number, second: number): Promise<Two> {
  const nothing = { number: 0, files: {} } as unknown as Two["old"];
  const [old, now, difference, reloads] = await Promise.all([
    first === 0 ? nothing : getRevision(first), getRevision(second),
    getDifference(second, first), getReloads(),
  ]);
  return { old, now, difference, reloads };
}

function Shown({ two: { old, now, difference, reloads } }: { two: Two }) {
  const names = [...new Set([...Object.keys(old.files), ...Object.keys(now.files)])];
  const changed = names.filter((name) => old.files[name] !== now.files[name]);
  const reload = reloads.find(({ revisions }) => revisions[0] <= now.number && now.number <= revisions[1]);
  return (
    <>
      <div class="columns">
        <section class="panel" aria-label="Revision">
          <p class="row"><RevisionLine revision={now} /></p>
          {reload && <p class="small">Its reload: <Outcome state={reload.state} />{" "}
            {reload.ended && <span class="quiet"><Time at={reload.ended} /></span>}</p>}
          {reload?.calls.map((call, at) => (
            <pre key={at} class="output" tabindex={0} aria-label="Call of the hook">{call.command}: exit code {call.code}{call.output && `\n${call.output}`}</pre>
          ))}
        </section>
        <section class="panel" aria-label="What changes">
          <Plan items={difference.plan} />
          {difference.changes.length > 0
            ? <Changes found={difference.changes.slice(0, 12)} more={Math.max(0, difference.changes.length - 12)} />
            : <p class="quiet">The engine sees no difference.</p>}
        </section>
      </div>
      {changed.map((name) => (
        <section class="panel fill" key={name} aria-label={name}>
          <h2 class="file">{name}</h2>
          <Diff old={old.files[name] ?? ""} now={now.files[name] ?? ""}
            labels={[`${name} at revision ${old.number}`, `${name} at revision ${now.number}`]} />
        </section>
      ))}
      {changed.length === 0 && <p class="quiet">Their files are the same.</p>}
    </>
  );
}
