// An editor of XML: highlighting, completion from the model, and what is wrong underlined.
import {
  autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap,
} from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { xml } from "@codemirror/lang-xml";
import { bracketMatching, foldGutter, foldKeymap, indentUnit } from "@codemirror/language";
import { type Diagnostic, forceLinting, linter, lintGutter, lintKeymap } from "@codemirror/lint";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { EditorState, type Extension, type Text } from "@codemirror/state";
import {
  drawSelection, EditorView, highlightActiveLine, hoverTooltip, keymap, lineNumbers,
} from "@codemirror/view";
import { useEffect, useRef } from "preact/hooks";
import { completions, describe, openElements } from "./completion";
import type { Model } from "./schema";
import { appearance } from "./theme";
import type { Violation } from "./types";

const LINT_AFTER_MS = 250;

/** What every view of XML can do. */
export const reading: Extension = [
  lineNumbers(), xml(), drawSelection(), EditorState.tabSize.of(2), search({ top: true }),
  keymap.of([...searchKeymap, ...defaultKeymap, ...foldKeymap]),
  EditorView.contentAttributes.of({ tabindex: "0" }), ...appearance,
];

interface Given {
  label: string;
  text: string;
  /** Grows when the text is another than what was written here. */
  edition: number;
  model: Model;
  /** Where the outermost element stands, as "/Server/VirtualHosts"; "" for a whole file. */
  around?: string;
  isReadOnly?: boolean;
  onChange?: (text: string) => void;
  /** What is wrong with a text; lines and columns are those of the text. */
  check?: (text: string) => Promise<Violation[]>;
}

/** The editor; with a new edition its text takes the place of what is there. */
export function Editor(given: Given) {
  const place = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const now = useRef(given);
  now.current = given;

  useEffect(() => {
    const made = new EditorView({ parent: place.current!, state: start(given, now) });
    view.current = made;
    return () => made.destroy();
  }, [given.isReadOnly, given.around, given.model]);

  useEffect(() => {
    const shown = view.current!;
    if (shown.state.sliceDoc() !== given.text) shown.setState(start(given, now));
  }, [given.edition]);

  useEffect(() => {
    if (given.check) forceLinting(view.current!);
  }, [given.check]);

  return <div class="editor" ref={place} />;
}

function start(given: Given, now: { current: Given }): EditorState {
  const { model, around = "" } = given;
  return EditorState.create({
    doc: given.text,
    extensions: [
      EditorState.lineSeparator.of(lineEnd(given.text)),
      reading,
      EditorView.contentAttributes.of({ "aria-label": given.label }),
      given.isReadOnly ? readOnly : writing(model, around),
      hover(model, around),
      foldGutter(),
      lintGutter(),
      linter((view) => diagnose(view, now.current.check), { delay: LINT_AFTER_MS }),
      EditorView.updateListener.of((update) => {
        if (update.docChanged) now.current.onChange?.(update.state.sliceDoc());
      }),
    ],
  });
}

/** How its lines end. Of a text whose lines end in two ways, \r is a character like any other. */
function lineEnd(text: string): string {
  return /(^|[^\r])\n/.test(text) || !text.includes("\r\n") ? "\n" : "\r\n";
}

export const readOnly: Extension = [
  EditorState.readOnly.of(true), EditorView.editable.of(false),
];

function writing(model: Model, around: string): Extension {
  return [
    history(), bracketMatching(), closeBrackets(), highlightActiveLine(),
    highlightSelectionMatches(), indentUnit.of("\t"),
    autocompletion({ override: [completions(model, around)], icons: false }),
    // Escape, then Tab leaves the editor: CodeMirror's own way out for the keyboard
    keymap.of([
      ...closeBracketsKeymap, ...historyKeymap, ...completionKeymap, ...lintKeymap, indentWithTab,
    ]),
  ];
}

function hover(model: Model, around: string): Extension {
  return hoverTooltip((view, position) => {
    const word = view.state.wordAt(position);
    if (!word || !/[</]/.test(view.state.sliceDoc(word.from - 1, word.from))) return null;
    const name = view.state.sliceDoc(word.from, word.to);
    const names = openElements(view.state, word.from);
    if (names.at(-1) === name) names.pop();
    const element = model.at(`${around}/${[...names, name].join("/")}`);
    if (!element?.documentation) return null;
    return {
      pos: word.from,
      above: true,
      create: () => {
        const dom = document.createElement("div");
        dom.className = "cm-completionInfo";
        dom.textContent = describe(element);
        return { dom };
      },
    };
  });
}

async function diagnose(view: EditorView, check: Given["check"]): Promise<Diagnostic[]> {
  if (!check) return [];
  const doc = view.state.doc;
  const found = await check(view.state.sliceDoc());
  return found.map((violation) => diagnostic(doc, violation));
}

/** A violation as the editor shows it. */
export function diagnostic(doc: Text, violation: Violation): Diagnostic {
  const line = doc.line(Math.min(Math.max(violation.line, 1), doc.lines));
  const from = Math.min(line.from + Math.max(violation.column - 1, 0), line.to);
  const word = /^<?\/?[^\s<>]+/.exec(doc.sliceString(from, line.to));
  const severity = violation.severity === "advice" ? "info" : violation.severity;
  const message = violation.hint ? `${violation.message}: ${violation.hint}` : violation.message;
  return { from, to: Math.min(from + (word?.[0].length ?? 1), line.to), severity, message };
}
