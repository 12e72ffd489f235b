// Before anything is saved: what changes in the files, what restarts, why; and a way back in time.
import { useEffect, useState } from "preact/hooks";
import { type How, Problem } from "./api";
import { Unified } from "./diff";
import { refreshSoon } from "./live";
import { Changes, Dialog, Failure, Plan, tell, Violations } from "./parts";
import type { Effect } from "./types";

const CONFIRM_S = 60;
const MOST_CONFIRM_S = 2_592_000;

interface Given {
  title: string;
  verb: string;
  /** Does it, or only tries. */
  run: (how: How) => Promise<Effect>;
  onDone: () => void;
  onClose: () => void;
  /** It is not what it was any more. */
  onStale?: () => void;
}

export function Save(given: Given) {
  const [effect, setEffect] = useState<Effect | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [isBusy, setBusy] = useState(false);
  const [message, setMessage] = useState("");
  const [seconds, setSeconds] = useState<number | null>(null);

  const attempt = async (how: How, then: (found: Effect) => void) => {
    setBusy(true);
    try {
      then(await given.run(how));
    } catch (found) {
      if (found instanceof Problem && found.status === 412 && given.onStale) return given.onStale();
      setError(found);
    }
    setBusy(false);
  };
  useEffect(() => void attempt({ dryRun: true }, setEffect), []);

  const save = (event: Event) => {
    event.preventDefault();
    setError(null);
    void attempt({ message, confirmSeconds: seconds }, () => {
      tell(seconds ? `Saved; it is taken back in ${seconds} s unless you keep it.` : "Saved.");
      void refreshSoon();
      given.onDone();
    });
  };

  return (
    <Dialog title={given.title} onClose={given.onClose}>
      <form class="save" onSubmit={save}>
        <div class="body" aria-busy={isBusy}>
          {error !== null && <Failure error={error} />}
          {error instanceof Problem && error.diff && <Unified text={error.diff} />}
          {!effect && error === null && <p class="quiet">Looking what would change…</p>}
          {effect && <Preview effect={effect} />}
        </div>
        {effect && (
          <footer>
            <label class="wide">
              <span>Message</span>
              <input name="message" value={message} placeholder="Why? Kept with the revision."
                autocomplete="off" onInput={(event) => setMessage(event.currentTarget.value)} />
            </label>
            <Countdown seconds={seconds} onChange={setSeconds} />
            <div class="actions">
              <button type="button" class="plain" onClick={given.onClose}>Cancel</button>
              <button type="submit" class="primary" disabled={isBusy}>{given.verb}</button>
            </div>
          </footer>
        )}
      </form>
    </Dialog>
  );
}

/** What a write would do. */
export function Preview({ effect }: { effect: Effect }) {
  const found = effect.violations.filter((each) => each.severity !== "advice");
  return (
    <>
      <section>
        <h3>What restarts</h3>
        <Plan items={effect.plan} />
      </section>
      {effect.changes.length > 0 && (
        <section>
          <h3>What changes</h3>
          <Changes found={effect.changes} />
        </section>
      )}
      <section>
        <h3>In the files</h3>
        <Unified text={effect.diff} />
      </section>
      {found.length > 0 && (
        <section>
          <h3>What the engine takes otherwise than it is written</h3>
          <Violations found={found} />
        </section>
      )}
    </>
  );
}

function Countdown(given: { seconds: number | null; onChange: (seconds: number | null) => void }) {
  const isOn = given.seconds !== null;
  return (
    <div class="countdown">
      <label class="check">
        <input type="checkbox" name="countdown" checked={isOn}
          onChange={() => given.onChange(isOn ? null : CONFIRM_S)} />
        <span>Take it back unless I keep it within</span>
      </label>
      <label>
        <span class="hidden">Seconds</span>
        <input type="number" name="seconds" min={1} max={MOST_CONFIRM_S} disabled={!isOn}
          value={given.seconds ?? CONFIRM_S}
          onInput={(event) => given.onChange(event.currentTarget.valueAsNumber || CONFIRM_S)} />
      </label>
      <span aria-hidden="true">seconds</span>
    </div>
  );
}
