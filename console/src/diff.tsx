// Differences of two texts: side by side where there is room, else one below the other.
import { MergeView, unifiedMergeView } from "@codemirror/merge";
import { lintGutter, setDiagnostics } from "@codemirror/lint";
import { EditorState } from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import { useEffect, useRef } from "preact/hooks";
import { diagnostic, readOnly, reading } from "./editor";
import type { Violation } from "./types";

const WIDE = "(min-width: 60rem)";

interface Given {
  old: string;
  now: string;
  labels: [string, string];
  /** What is wrong in the new text. */
  violations?: Violation[];
  /** One below the other, however much room there is. */
  isUnified?: boolean;
}

export function Diff({ old, now, labels, violations, isUnified }: Given) {
  const place = useRef<HTMLDivElement>(null);
  const faults = JSON.stringify(violations ?? []);
  useEffect(() => {
    const parent = place.current!;
    const isWide = !isUnified && matchMedia(WIDE).matches;
    const view = isWide ? beside(parent, old, now, labels) : unified(parent, old, now, labels[1]);
    if (violations?.length) point(view instanceof MergeView ? view.b : view, violations);
    return () => view.destroy();
  }, [old, now, isUnified, faults]);
  return <div class="diff-view" ref={place} />;
}

const collapse = { margin: 3, minSize: 6 };
const labelled = (label: string) => EditorView.contentAttributes.of({ "aria-label": label });

function beside(parent: HTMLElement, old: string, now: string, labels: [string, string]) {
  const extensions = [reading, readOnly, lintGutter(), EditorView.lineWrapping];
  return new MergeView({
    parent,
    a: { doc: old, extensions: [extensions, labelled(labels[0])] },
    b: { doc: now, extensions: [extensions, labelled(labels[1])] },
    collapseUnchanged: collapse,
    gutter: true,
  });
}

function unified(parent: HTMLElement, old: string, now: string, label: string) {
  const merged = unifiedMergeView({
    original: old, mergeControls: false, collapseUnchanged: collapse, gutter: true,
  });
  const extensions = [reading, readOnly, lintGutter(), EditorView.lineWrapping, labelled(label), merged];
  return new EditorView({ parent, state: EditorState.create({ doc: now, extensions }) });
}

/** Underline what is wrong, and show the first of it. */
function point(view: EditorView, violations: Violation[]): void {
  const found = violations.map((each) => diagnostic(view.state.doc, each));
  view.dispatch(setDiagnostics(view.state, found));
  const effects = EditorView.scrollIntoView(found[0]!.from, { y: "center" });
  view.dispatch({ effects });
}

/** A difference as unified text, its lines coloured. */
export function Unified({ text }: { text: string }) {
  if (text === "") return <p class="quiet">Nothing changes in the files.</p>;
  return (
    <pre class="unified" tabindex={0} aria-label="Difference of the files">
      {text.replace(/\n$/, "").split("\n").map((line, at) => (
        <span key={at} class={kind(line)}>{line || " "}{"\n"}</span>
      ))}
    </pre>
  );
}

function kind(line: string): string {
  if (/^(---|\+\+\+) /.test(line)) return "files";
  return { "+": "new", "-": "old", "@": "place" }[line[0] ?? ""] ?? "";
}
