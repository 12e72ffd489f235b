// A text that is edited, checked while it is, and saved: a whole file, or one element of it.
import type { ComponentChildren } from "preact";
import { useCallback, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { How } from "./api";
import { Conflict } from "./conflict";
import { Editor } from "./editor";
import { beat, model as known } from "./live";
import { useMerging } from "./merging";
import { Failure } from "./parts";
import { ask } from "./router";
import { Save } from "./save";
import type { Effect, Tagged, Violation } from "./types";

export const LEAVE = "What you have changed here is not saved. Leave it?";

interface Given {
  /** What it is, as in "The application app was changed meanwhile". */
  what: string;
  label: string;
  /** Where the outermost element stands, as "/Server/VirtualHosts". */
  around: string;
  isReadOnly: boolean;
  load: () => Promise<Tagged<string>>;
  save: (text: string, how: How) => Promise<Effect>;
  /** What is wrong, at lines and columns of the text; may fail, and then nothing is shown. */
  check: (text: string, tag: string, signal: AbortSignal) => Promise<Violation[]>;
}

export function TextView({ what, label, around, isReadOnly, load, save, check }: Given) {
  const [isSaving, setSaving] = useState(false);
  const text = useMerging(load, label, beat.value, isSaving);
  const pending = useRef<AbortController | null>(null);
  const tag = text.base?.tag ?? "";
  const lint = useCallback(async (now: string) => {
    pending.current?.abort();
    pending.current = new AbortController();
    return check(now, tag, pending.current.signal).catch(() => []);
  }, [label, tag]);
  useLayoutEffect(() => {
    ask(text.isChanged ? LEAVE : null);
    return () => ask(null);
  }, [text.isChanged]);

  if (!text.base) return text.error ? <Failure error={text.error} /> : null;
  if (text.theirs) {
    return <Conflict what={what} base={text.base.value} mine={text.mine}
      theirs={text.theirs.value} onTheirs={text.takeTheirs} onMine={text.putMineOnTop} />;
  }
  return (
    <>
      {text.error !== null && <Failure error={text.error} />}
      <div class="panel fill">
        <Editor label={label} text={text.mine} edition={text.edition} model={known.value!} around={around}
          isReadOnly={isReadOnly} onChange={text.write} check={isReadOnly ? undefined : lint} />
      </div>
      {!isReadOnly && (
        <p class="quiet small keys">Ctrl-Space completes, Ctrl-F finds; Escape, then Tab leaves the editor.</p>
      )}
      {text.isChanged && (
        <SaveBar onDiscard={text.discard} onSave={() => setSaving(true)}>
          The text is changed.
        </SaveBar>
      )}
      {isSaving && (
        <Save title={`Save ${label}`} verb="Save" run={(how) => save(text.mine, { ...how, tag })}
          onClose={() => setSaving(false)}
          onStale={() => setSaving(false)}
          onDone={async () => {
            await text.reload();
            setSaving(false);
          }} />
      )}
    </>
  );
}

/** What was changed and is not saved, and what can be done with it. */
export function SaveBar(given: { children: ComponentChildren; onDiscard: () => void; onSave: () => void }) {
  return (
    <div class="savebar" role="region" aria-label="Your changes">
      <div class="grow" aria-live="polite">{given.children}</div>
      <div class="actions">
        <button type="button" class="plain" onClick={given.onDiscard}>Discard</button>
        <button type="button" class="primary" onClick={given.onSave}>Review and save</button>
      </div>
    </div>
  );
}
