// The model of the configuration, as the daemon reads it from its XSD: what may stand where.

export interface Value {
  kind: "object" | "string" | "integer" | "number" | "boolean" | "choice";
  reads: string | null;
  words: string[];
  least: number | null;
  most: number | null;
  pattern: string | null;
}

export interface Element extends Value {
  path: string;
  name: string;
  json: string;
  list: boolean;
  flat: boolean;
  required: boolean;
  enforced: boolean;
  default: string | null;
  documentation: string;
  scope: string;
  since: string;
  deprecated: string;
  use: string;
  secret: boolean;
  unread: boolean;
  attributes: Record<string, Value>;
  children: string[];
}

export const HOST = "/Server/VirtualHosts/VirtualHost";
export const APPLICATION = `${HOST}/Applications/Application`;

export class Model {
  private byPath: Map<string, Element>;

  constructor(elements: Element[]) {
    this.byPath = new Map(elements.map((each) => [each.path, each]));
  }

  /** The element at a path without names and places, as /Server/Bind. */
  at(path: string): Element | undefined {
    return this.byPath.get(path);
  }

  /** Where the outermost element of a file stands: "" for Server, else where it may be included. */
  around(name: string | undefined): string {
    const found = [...this.byPath.keys()].find((path) => path.endsWith(`/${name}`)) ?? "";
    return found.slice(0, found.lastIndexOf("/"));
  }

  children(element: Element): Element[] {
    return element.children.map((name) => this.byPath.get(`${element.path}/${name}`)!);
  }

  /** The list whose array takes the place of this wrapper in JSON. */
  flatChild(element: Element): Element | undefined {
    const [only, ...others] = this.children(element);
    return only?.flat && others.length === 0 ? only : undefined;
  }
}

/** Whether words are only examples, and any other text is fine too. */
export function isOpen(value: Value): boolean {
  return value.pattern !== null && fits(value.pattern, "https://example.com/other");
}

/** Whether no text at all is what the engine wants here. */
export function isNever(value: Value): boolean {
  return value.pattern !== null && value.pattern.includes("never");
}

/** Whether the engine expands something in the text, so that its type is not known here. */
export function hasMacro(text: string): boolean {
  return /\$\{(env|ome):/.test(text);
}

/** What is wrong with a text as a value, in a few words; "" if nothing is. */
export function complaint(value: Value, text: string): string {
  if (text === "" || hasMacro(text)) return "";
  if (value.kind === "integer" && !/^\s*[+-]?\d+\s*$/.test(text)) return "not a whole number";
  if (value.kind === "number" && !(value.pattern && fits(value.pattern, text.trim()))) {
    return "not a number";
  }
  const number = Number(text);
  if (value.least !== null && number < value.least) return `less than ${value.least}`;
  if (value.most !== null && number > value.most) return `more than ${value.most}`;
  if (value.words.includes(text) || value.pattern === null) {
    const isWord = value.words.length === 0 || value.words.includes(text);
    return isWord ? "" : `not one of ${value.words.join(", ")}`;
  }
  return fits(value.pattern, text) ? "" : "not written as the engine wants it";
}

/** A text as JSON of the element's type; a text that is no clean literal stays one. */
export function typed(value: Value, text: string): string | number | boolean {
  if (value.kind === "boolean" && (text === "true" || text === "false")) return text === "true";
  if (value.kind === "integer" && /^-?\d{1,15}$/.test(text)) return Number(text);
  if (value.kind === "number" && /^-?\d{1,12}(\.\d{1,6})?$/.test(text)) return Number(text);
  return text;
}

function fits(pattern: string, text: string): boolean {
  return new RegExp(`^(?:${pattern})$`).test(text);
}
