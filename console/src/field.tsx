// One value of a form: an input of the right kind, what the engine knows of it, and the way back.
import { useState } from "preact/hooks";
import { complaint, type Element, hasMacro, isOpen, typed } from "./schema";
import { Badge } from "./parts";
import type { Json } from "./types";

export interface FieldGiven {
  element: Element;
  /** Tells it apart from every other field of the page. */
  id: string;
  /** What it is called, if that is not the element's name. */
  label?: string;
  value: Json | undefined;
  /** What was loaded. */
  base: Json | undefined;
  isReadOnly: boolean;
  /** What the daemon finds wrong with it. */
  fault?: string;
  /** undefined: the element goes away. */
  onChange: (value: Json | undefined) => void;
}

export function Field(given: FieldGiven) {
  const { element, id, value, base, isReadOnly } = given;
  const text = value === undefined ? "" : String(value);
  const [isText, setText] = useState(needsText(element, value));
  const isAsText = isText || needsText(element, value);
  const isChanged = value !== base;
  const fault = complaint(element, text) || given.fault || "";
  const label = given.label ?? element.name;
  const isTyped = element.reads !== "presence" && !["string", "object"].includes(element.kind);
  return (
    <div class={`field ${isChanged ? "changed" : ""} ${value === undefined ? "unset" : ""}`}>
      <div class="name">
        <label for={id}>{label}</label>
        {element.enforced && <abbr title="The engine insists on it" class="needed">*</abbr>}
        <Marks element={element} />
      </div>
      <div class="control">
        <Input {...given} text={text} isAsText={isAsText} hasFault={fault !== ""} />
        {!isReadOnly && (
          <span class="tools">
            {isTyped && (
              <button type="button" class="plain icon" aria-pressed={isAsText}
                aria-label={`Write ${label} as text, for macros`} title="Write as text: ${env:NAME:default}"
                onClick={() => setText(!isText)}>{"{ }"}</button>
            )}
            {isChanged && (
              <button type="button" class="plain icon" aria-label={`Undo ${label}`} title="Undo"
                onClick={() => given.onChange(base)}>↺</button>
            )}
            {value !== undefined && !element.enforced && (
              <button type="button" class="plain icon" aria-label={`Remove ${label}`} title="Remove"
                onClick={() => given.onChange(undefined)}>✕</button>
            )}
          </span>
        )}
      </div>
      <div class="about" id={`${id}-about`}>
        {fault && <p class="fault">{fault}</p>}
        {isChanged && <p class="was">was {base === undefined ? "not set" : <code>{String(base)}</code>}</p>}
        {element.documentation && <p class="doc">{element.documentation}</p>}
      </div>
    </div>
  );
}

/** What people should know of an element besides its documentation. */
export function Marks({ element }: { element: Element }) {
  return (
    <>
      {element.deprecated && (
        <Badge tone="warning">deprecated{element.use && `: use ${element.use}`}</Badge>
      )}
      {element.unread && <Badge>not read</Badge>}
    </>
  );
}

type InputGiven = FieldGiven & { text: string; isAsText: boolean; hasFault: boolean };

function Input(given: InputGiven) {
  const { element, id, text, isReadOnly, hasFault, onChange } = given;
  const common = {
    id,
    "data-path": element.path,
    "aria-describedby": `${id}-about`,
    "aria-invalid": hasFault,
    disabled: isReadOnly,
  };
  const write = (now: string) =>
    onChange(now === "" && given.base !== "" ? undefined : typed(element, now));
  if (element.reads === "presence") {
    return <input type="checkbox" {...common} checked={given.value !== undefined}
      onChange={(event) => onChange(event.currentTarget.checked ? true : undefined)} />;
  }
  if (given.isAsText || element.kind === "string" || isOpen(element)) {
    return <TextInput {...given} common={common} write={write} />;
  }
  if (element.kind === "boolean" || element.kind === "choice") {
    return <Select {...given} common={common} write={write} />;
  }
  return (
    <input type="number" {...common} value={text} placeholder={unset(element)}
      min={element.least ?? undefined} max={element.most ?? undefined}
      step={element.kind === "integer" ? 1 : "any"}
      onInput={(event) => {
        if (!event.currentTarget.validity.badInput) write(event.currentTarget.value);
      }} />
  );
}

type Inner = InputGiven & { common: Record<string, unknown>; write: (text: string) => void };

function TextInput({ element, id, text, common, write }: Inner) {
  const words = element.words.filter((word) => word !== "");
  const more = {
    ...common, value: text, placeholder: unset(element), autocomplete: "off", spellcheck: false,
    onInput: (event: Event) => write((event.currentTarget as HTMLInputElement).value),
  };
  if (element.secret) return <input type="password" {...more} />;
  if (words.length === 0) return <input type="text" {...more} />;
  return (
    <>
      <input type="text" {...more} list={`${id}-words`} />
      <datalist id={`${id}-words`}>{words.map((word) => <option key={word} value={word} />)}</datalist>
    </>
  );
}

function Select({ element, text, common, write, value }: Inner) {
  const words = element.words.filter((word) => word !== "");
  const shown = value === undefined || words.includes(text) ? words : [...words, text];
  return (
    <select {...common} value={text} onChange={(event) => write(event.currentTarget.value)}>
      {(!element.enforced || value === undefined) && <option value="">{unset(element)}</option>}
      {shown.map((word) => <option key={word} value={word}>{word || "(empty)"}</option>)}
    </select>
  );
}

/** What stands where nothing is written. */
function unset(element: Element): string {
  return element.default === null || element.default === "" ? "not set" : `default: ${element.default}`;
}

/** Whether a value can only be shown as text: a macro, or no clean literal. */
function needsText(element: Element, value: Json | undefined): boolean {
  if (typeof value !== "string") return false;
  return hasMacro(value) || ["integer", "number"].includes(element.kind);
}
