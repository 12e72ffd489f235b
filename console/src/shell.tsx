// What is around every view: where one can go, who one is, and what everybody must know.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { confirm } from "./api";
import { isLive, refreshSoon } from "./live";
import { Badge, Notice, tell, Told } from "./parts";
import { route, to } from "./router";
import { signOut, status } from "./session";
import type { Confirm } from "./types";

const PLACES: [string, string, string[]][] = [
  ["Overview", "", ["", "app"]],
  ["History", "history", ["history", "compare"]],
  ["Files", "files", ["files"]],
];

export function Shell({ children }: { children: ComponentChildren }) {
  const main = useRef<HTMLElement>(null);
  const here = route.value.join("/");
  const isFirst = useRef(true);
  useEffect(() => {
    if (!isFirst.current) {
      main.current!.focus({ preventScroll: true });
      scrollTo(0, 0);
    }
    isFirst.current = false;
  }, [here]);
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => {
        event.preventDefault();
        main.current!.focus();
      }}>Skip to the content</a>
      <Top />
      <main id="main" ref={main} tabindex={-1}>
        <Standing />
        {children}
      </main>
      <Told />
    </>
  );
}

function Top() {
  const first = route.value[0] ?? "";
  const who = status.value?.caller;
  return (
    <header class="top">
      <a class="mark" href={to()} aria-label="omeconf, overview">
        <img src="icon.svg" alt="" width={24} height={24} />
        <span>omeconf</span>
      </a>
      <nav aria-label="Main">
        {PLACES.map(([name, place, firsts]) => (
          <a key={name} href={to(...(place ? [place] : []))}
            aria-current={firsts.includes(first) ? "page" : undefined}>{name}</a>
        ))}
      </nav>
      <span class={`pulse ${isLive.value ? "good" : "error"}`} role="status">
        {isLive.value ? "live" : "not connected"}
      </span>
      {who && <span class="who"><span class="long">{who.name}</span> <Badge>{who.role}</Badge></span>}
      <button type="button" class="plain" onClick={signOut}>Sign out</button>
    </header>
  );
}

/** What is not as it should be, or waits for somebody. */
function Standing() {
  const now = status.value;
  if (!now) return null;
  const errors = now.drift?.violations.filter((each) => each.severity === "error") ?? [];
  const first = errors[0];
  return (
    <>
      {now.confirm && <Waiting confirm={now.confirm} />}
      {now.drift && (
        <Notice tone="error" actions={<a class="button" href={to("files", first?.file ?? "")}>Show</a>}>
          <p><strong>The files on disk have errors</strong> and are kept from the engine, which goes on
            with revision {now.revision.running ?? now.revision.head}.</p>
          {first && <p class="small"><code>{first.file}:{first.line}</code> {first.message}</p>}
        </Notice>
      )}
      {TOLD.map(([key, text]) => now[key] && (
        <Notice key={key} tone="warning"><p><strong>{text}</strong> {now[key]}</p></Notice>
      ))}
      {now.engine?.reachable === false && (
        <Notice tone="warning"><p><strong>The engine is away.</strong> It is given everything when it is
          back.</p></Notice>
      )}
      {now.engine && now.engine.drift.length > 0 && (
        <Notice tone="warning"><p><strong>The engine runs something else:</strong>{" "}
          {now.engine.drift.join("; ")}</p></Notice>
      )}
      {now.watching?.trouble && (
        <Notice tone="warning"><p><strong>Manual edits are noticed late:</strong> {now.watching.trouble}</p></Notice>
      )}
      {now.restartNeeded && (
        <Notice tone="warning"><p><strong>A restart is needed</strong>, for which no hook is set.</p></Notice>
      )}
    </>
  );
}

const TOLD: ["missing" | "unrecorded" | "held" | "readOnly" | "history", string][] = [
  ["missing", "A file is missing:"],
  ["unrecorded", "A manual edit cannot be recorded:"],
  ["held", "Held; nothing is taken up or saved:"],
  ["readOnly", "Read only:"],
  ["history", "The history:"],
];

/** A change that is taken back unless somebody keeps it. */
function Waiting({ confirm: waiting }: { confirm: Confirm }) {
  const ends = Date.parse(waiting.deadline);
  const [left, setLeft] = useState(() => (ends - Date.now()) / 1000);
  useEffect(() => {
    const timer = setInterval(() => setLeft((ends - Date.now()) / 1000), 500);
    return () => clearInterval(timer);
  }, [ends]);
  const keep = async () => {
    try {
      await confirm();
      tell("Kept.");
    } catch (error) {
      tell(String(error), "error");
    }
    void refreshSoon();
  };
  return (
    <Notice tone="accent" actions={<button type="button" class="primary" onClick={keep}>Keep it</button>}>
      <p><strong>The last change waits to be kept.</strong> It goes back to revision {waiting.backTo} in{" "}
        <span class="figure">{Math.max(0, Math.round(left))} s</span>.</p>
    </Notice>
  );
}
