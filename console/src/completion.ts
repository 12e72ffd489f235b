// What may be written at a place of an XML text, from the model: elements, values, the end tag.
import type { Completion, CompletionContext, CompletionResult } from "@codemirror/autocomplete";
import { syntaxTree } from "@codemirror/language";
import type { EditorState } from "@codemirror/state";
import type { SyntaxNode } from "@lezer/common";
import type { Element, Model } from "./schema";

/** So far back a tag may end, for what follows to be taken for text. */
const TEXT_MOST = 500;

/** Completions for a text whose outermost element stands at a path below `around`, as "/Server". */
export function completions(model: Model, around: string) {
  return (context: CompletionContext): CompletionResult | null => {
    const names = openElements(context.state, context.pos);
    const element = model.at(`${around || model.around(names[0])}/${names.join("/")}`);
    if (element === undefined) return null;
    const tag = context.matchBefore(/<\/?[\w]*$/);
    if (tag) return { from: tag.from, options: tags(model, element), validFor: /^<\/?\w*$/ };
    const before = context.state.sliceDoc(Math.max(0, context.pos - TEXT_MOST), context.pos);
    const text = />([^<>]*)$/.exec(before);
    if (text && element.kind !== "object") {
      const from = context.pos - text[1]!.length;
      return { from, options: values(element), validFor: /^[^<>]*$/ };
    }
    if (text && context.explicit) return { from: context.pos, options: tags(model, element) };
    return null;
  };
}

/** What an element is, for whom hovers over its name. */
export function describe(element: Element): string {
  const value = element.default === null ? "" : ` Default: ${element.default}.`;
  const old = element.deprecated
    ? ` Deprecated${element.use ? `: use ${element.use}` : ""}.`
    : "";
  return element.documentation + value + old;
}

/** The names of the elements around a place, from the outside. */
export function openElements(state: EditorState, position: number): string[] {
  const names: string[] = [];
  let node: SyntaxNode | null = syntaxTree(state).resolveInner(position, -1);
  for (; node; node = node.parent) {
    if (node.name !== "Element") continue;
    const open = node.getChild("OpenTag");
    const name = open?.getChild("TagName");
    if (open && name && open.to <= position && !isClosedBefore(node, position)) {
      names.unshift(state.sliceDoc(name.from, name.to));
    }
  }
  return names;
}

function isClosedBefore(node: SyntaxNode, position: number): boolean {
  const close = node.getChild("CloseTag");
  return close !== null && close.to <= position;
}

function tags(model: Model, element: Element): Completion[] {
  const children = model.children(element).map((child): Completion => ({
    label: `<${child.name}`,
    displayLabel: child.name,
    type: child.kind === "object" ? "class" : "property",
    detail: child.deprecated ? "deprecated" : child.kind === "object" ? "" : child.kind,
    info: describe(child) || undefined,
    boost: child.deprecated ? -50 : 0,
    apply: (view, _, from, to) => {
      const text = `<${child.name}></${child.name}>`;
      const cursor = from + child.name.length + 2;
      const isClosed = view.state.sliceDoc(to, to + 1) === ">";
      view.dispatch({
        changes: { from, to: isClosed ? to + 1 : to, insert: text },
        selection: { anchor: cursor },
        userEvent: "input.complete",
      });
    },
  }));
  return [...children, { label: `</${element.name}>`, type: "keyword", boost: -1 }];
}

function values(element: Element): Completion[] {
  const words = element.words.filter((word) => word !== "");
  const found = new Set(element.default === null ? words : [...words, element.default]);
  return [...found].map((label) => ({
    label,
    type: "enum",
    detail: label === element.default ? "default" : undefined,
  }));
}
