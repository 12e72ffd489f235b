// An application as a form: what is changed is tried at once, shown, and saved as one request.
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { type How, merge, Problem } from "./api";
import { Conflict, type Row } from "./conflict";
import { findApplication, profilePlace } from "./configuration";
import { differences, get, isEqual, onTop, patch } from "./draft";
import { Form } from "./form";
import { config, model as known, refresh } from "./live";
import { Failure, Plan } from "./parts";
import { ask, go, route } from "./router";
import { Save } from "./save";
import { APPLICATION } from "./schema";
import { may } from "./session";
import { LEAVE, SaveBar } from "./text";
import type { Effect, Json, JsonObject, Tagged } from "./types";

const TRY_AFTER_MS = 150;

interface Given {
  path: string;
  /** The same path, by places. */
  places: string;
  host: string;
  name: string;
  /** The application as the newest revision has it, and the tag of the whole configuration. */
  now: Tagged<JsonObject>;
  /** An output profile to begin with. */
  inside: string;
}

export function ApplicationForm({ path, places, host, name, now, inside }: Given) {
  const model = known.value!;
  const [base, setBase] = useState<Json>(now.value);
  const [draft, setDraft] = useState<Json>(now.value);
  const [filter, setFilter] = useState("");
  const [isWhole, setWhole] = useState(false);
  const [isSaving, setSaving] = useState(false);
  const change = useMemo(() => patch(base, draft), [base, draft]);
  const isOvertaken = !isEqual(base, now.value);
  const tag = useRef(now.tag);
  if (!isOvertaken) tag.current = now.tag; // another is of a configuration that was not loaded here
  const begin = (from: Json, to: Json = from) => {
    setBase(from);
    setDraft(to);
  };
  useEffect(() => {
    if (isSaving) return; // it may be taken back, if the reload fails
    if (isOvertaken && (change === undefined || isEqual(draft, now.value))) begin(now.value);
  }, [now.value, isSaving]);
  useLayoutEffect(() => {
    ask(change === undefined ? null : LEAVE);
    return () => ask(null);
  }, [change]);
  const run = (how: How) => merge(path, change ?? {}, { ...how, tag: tag.current });
  const tried = useTried(change, isOvertaken, run);
  const faults = useMemo(() => faultsOf(tried.error), [tried.error]);
  const open = useMemo(() => new Set([
    `${places}/Providers`, `${places}/Publishers`,
    ...(inside ? [`${places}/${profilePlace(now.value, inside)}`] : []),
  ]), [places, inside]);
  const isReadOnly = !may("write");

  if (isOvertaken && !isSaving && change !== undefined && !isEqual(draft, now.value)) {
    return <Conflict what={`The application ${name}`} base={shown(base)} mine={shown(draft)}
      theirs={shown(now.value)} rows={rows(base, draft, now.value)}
      onTheirs={() => begin(now.value)}
      onMine={() => {
        tag.current = now.tag;
        begin(now.value, onTop(base, draft, now.value) ?? now.value);
        setSaving(true);
      }} />;
  }
  return (
    <>
      <div class="toolbar">
        <label class="search">
          <span class="hidden">Find an element</span>
          <input type="search" name="filter" placeholder="Find an element…" value={filter}
            onInput={(event) => setFilter(event.currentTarget.value)} />
        </label>
        <label class="check">
          <input type="checkbox" name="whole" checked={isWhole} onChange={() => setWhole(!isWhole)} />
          <span>Everything there is</span>
        </label>
        {isReadOnly && <span class="quiet">Your role may only read.</span>}
      </div>
      <Form model={model} root={model.at(APPLICATION)!} path={places} draft={draft} base={base}
        isReadOnly={isReadOnly} filter={filter.length > 1 ? filter : ""} isWhole={isWhole}
        faults={faults} open={open} onChange={setDraft} />
      {change !== undefined && (
        <SaveBar onDiscard={() => setDraft(base)} onSave={() => setSaving(true)}>
          {tried.error ? <Failure error={tried.error} /> : tried.effect
            ? <><span>{count(base, draft)}</span> <Plan items={tried.effect.plan} /></>
            : <span class="quiet">Looking what would change…</span>}
        </SaveBar>
      )}
      {isSaving && change !== undefined && (
        <Save title={`Save ${name}`} verb="Save" run={run} onClose={() => setSaving(false)}
          onStale={() => {
            setSaving(false);
            void refresh();
          }}
          onDone={async () => {
            const named = String(get(draft, ["name"]));
            await refresh().catch(() => {});
            const saved = findApplication(config.value!.value, host, named);
            begin(saved ?? draft);
            ask(null);
            setSaving(false);
            if (named !== name) go("app", host, named, ...route.value.slice(3));
          }} />
      )}
    </>
  );
}

interface Tried {
  effect: Effect | null;
  error: Problem | null;
}

/** What a change would do, tried a little after it was made. */
function useTried(change: Json | undefined, isOff: boolean, run: (how: How) => Promise<Effect>): Tried {
  const [tried, setTried] = useState<Tried>({ effect: null, error: null });
  useEffect(() => {
    if (change === undefined || isOff) return setTried({ effect: null, error: null });
    let isCurrent = true;
    const timer = setTimeout(async () => {
      let found: Tried;
      try {
        found = { effect: await run({ dryRun: true }), error: null };
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        if (error.status === 412) return void refresh();
        found = { effect: null, error };
      }
      if (isCurrent) setTried(found);
    }, TRY_AFTER_MS);
    return () => {
      isCurrent = false;
      clearTimeout(timer);
    };
  }, [change, isOff]);
  return tried;
}

function faultsOf(error: Problem | null): Map<string, string> {
  return new Map(error?.violations.map((each) => [each.path, each.message]));
}

function count(base: Json, draft: Json): string {
  const found = differences(base, draft).length;
  return found === 1 ? "1 value changed." : `${found} values changed.`;
}

const shown = (value: Json) => JSON.stringify(value, null, 2);
const short = (value: Json | undefined) => (value === undefined ? "not set" : JSON.stringify(value));

/** Every value that is not the same for all three. */
function rows(base: Json, mine: Json, theirs: Json): Row[] {
  const all = [...differences(base, mine), ...differences(base, theirs)];
  const keys = new Map(all.map((each) => [each.keys.join(" / "), each.keys]));
  return [...keys].map(([name, where]) => ({
    name,
    base: short(get(base, where)),
    mine: short(get(mine, where)),
    theirs: short(get(theirs, where)),
  }));
}
