// Where in the console one is: the part of the address behind #, as words.
import { signal } from "@preact/signals";

const read = () => location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decode);

/** The words of the address: ["app", "default", "live", "xml"]. */
export const route = signal<string[]>(read());

addEventListener("hashchange", () => {
  if (guard !== null && !confirm(guard)) {
    history.replaceState(null, "", to(...route.value));
    return;
  }
  guard = null;
  route.value = read();
});

/** The address of a place. */
export function to(...words: (string | number)[]): string {
  return "#/" + words.map((word) => encodeURIComponent(word)).join("/");
}

export function go(...words: (string | number)[]): void {
  location.hash = to(...words);
}

let guard: string | null = null;

/** What to ask before the place is left, so that nothing written is lost; null: nothing. */
export function ask(question: string | null): void {
  guard = question;
}

addEventListener("beforeunload", (event) => {
  if (guard !== null) event.preventDefault();
});

function decode(word: string): string {
  try {
    return decodeURIComponent(word);
  } catch {
    return word;
  }
}
