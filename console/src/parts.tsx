// The small things that every view is made of.
import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Problem } from "./api";
import type { Change, PlanItem, Violation } from "./types";

export type Tone = "good" | "warning" | "error" | "quiet" | "accent";

/** How long that is shown. */
const TOLD_MS = 5000;

/** What has just been done, told once in a corner and to screen readers. */
export const told = signal<{ text: string; tone: Tone } | null>(null);

export function tell(text: string, tone: Tone = "good"): void {
  told.value = { text, tone };
}

export function Told() {
  const shown = told.value;
  useEffect(() => {
    if (!shown) return;
    const timer = setTimeout(() => (told.value = null), TOLD_MS);
    return () => clearTimeout(timer);
  }, [shown]);
  return (
    <div class="told" role="status" aria-live="polite">
      {shown && <p class={`notice ${shown.tone}`}>{shown.text}</p>}
    </div>
  );
}

export function Badge({ tone = "quiet", children }: { tone?: Tone; children: ComponentChildren }) {
  return <span class={`badge ${tone}`}>{children}</span>;
}

/** Something that everybody must know, with what can be done about it. */
export function Notice(given: { tone: Tone; children: ComponentChildren; actions?: ComponentChildren }) {
  return (
    <div class={`notice ${given.tone}`} role={given.tone === "error" ? "alert" : "status"}>
      <div class="grow">{given.children}</div>
      {given.actions && <div class="actions">{given.actions}</div>}
    </div>
  );
}

/** A dialog that keeps the focus while it is open; Escape closes it. */
export function Dialog(given: { title: string; onClose: () => void; children: ComponentChildren }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const shown = dialog.current!;
    shown.showModal();
    return () => shown.close();
  }, []);
  return (
    <dialog ref={dialog} aria-labelledby="dialog-title" onCancel={(event) => {
      event.preventDefault();
      given.onClose();
    }}>
      <header>
        <h2 id="dialog-title">{given.title}</h2>
        <button type="button" class="plain icon" aria-label="Close" onClick={given.onClose}>✕</button>
      </header>
      {given.children}
    </dialog>
  );
}

const formats = {
  day: new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" }),
  ago: new Intl.RelativeTimeFormat(undefined, { numeric: "auto" }),
};
const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["day", 86_400], ["hour", 3600], ["minute", 60], ["second", 1],
];

/** Grows as time goes by, so that what says how long ago something was stays true. */
const tick = signal(0);
setInterval(() => tick.value++, 10_000);

/** A moment, as how long ago it was; the exact time is its title. */
export function Time({ at }: { at: string }) {
  void tick.value;
  const seconds = Math.round((Date.parse(at) - Date.now()) / 1000);
  const [unit, size] = UNITS.find(([, each]) => Math.abs(seconds) >= each) ?? ["second", 1];
  const shown = formats.ago.format(Math.trunc(seconds / size), unit);
  return <time dateTime={at} title={formats.day.format(new Date(at))}>{shown}</time>;
}

export function planText(item: PlanItem): string {
  const scope = { application: "application", virtualHost: "virtual host", server: "the whole server" };
  const names = [item.virtualHost, item.application].filter(Boolean).join("/");
  return `${item.action} ${scope[item.scope]} ${names}`.trim();
}

/** What must restart. */
export function Plan({ items }: { items: PlanItem[] }) {
  if (items.length === 0) return <p class="plan quiet">Nothing restarts.</p>;
  return (
    <ul class="plan">
      {items.map((item) => (
        <li key={planText(item)}>
          <Badge tone={item.scope === "server" ? "error" : "warning"}>{planText(item)}</Badge>
        </li>
      ))}
    </ul>
  );
}

/** What is wrong, each with its place. */
export function Violations({ found }: { found: Violation[] }) {
  return (
    <ul class="violations">
      {found.map((each, at) => (
        <li key={at} class={each.severity}>
          <Badge tone={each.severity === "advice" ? "quiet" : each.severity}>{each.severity}</Badge>
          <div>
            <p>{each.message}{each.hint && <span class="quiet"> — {each.hint}</span>}</p>
            <p class="quiet small"><code>{each.file}:{each.line}:{each.column}</code> {each.code}</p>
          </div>
        </li>
      ))}
    </ul>
  );
}

/** Changes by path, without what all of them have in common. */
export function Changes({ found, more = 0 }: { found: Change[]; more?: number }) {
  return (
    <ul class="changes">
      {found.map((change) => (
        <li key={change.path}>
          <code>{shortPath(change.path)}</code>{" "}
          {change.old !== undefined
            ? <span class="values"><del>{change.old ?? "∅"}</del> → <ins>{change.new ?? "∅"}</ins></span>
            : <span class="quiet">{change.kind}</span>}
        </li>
      ))}
      {more > 0 && <li class="quiet">and {more} more</li>}
    </ul>
  );
}

/** `/Server/VirtualHosts/VirtualHost[Name="a"]/Applications/Application[Name="b"]/X` as `a/b: X`. */
export function shortPath(path: string): string {
  const rest = path.replace(/^\/Server\//, "");
  const host = /^VirtualHosts\/VirtualHost\[Name="([^"]*)"\]\/?/.exec(rest);
  if (!host) return rest;
  const inner = rest.slice(host[0].length);
  const app = /^Applications\/Application\[Name="([^"]*)"\]\/?/.exec(inner);
  const [names, last] = app ? [`${host[1]}/${app[1]}`, inner.slice(app[0].length)] : [host[1], inner];
  return last ? `${names}: ${last.replace(/\[Name="([^"]*)"\]/g, "[$1]")}` : names!;
}

/** A problem in words. */
export function Failure({ error }: { error: unknown }) {
  const violations = error instanceof Problem ? error.violations : [];
  const text = error instanceof Error ? error.message : String(error);
  const isSaid = violations.some((each) => text.includes(each.message));
  return (
    <Notice tone="error">
      {!isSaid && <p>{text}</p>}
      {violations.length > 0 && <Violations found={violations} />}
    </Notice>
  );
}
