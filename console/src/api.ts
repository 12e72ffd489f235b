// The API as calls: the only module that talks to the daemon.
import { signOut, token } from "./session";
import type {
  Difference, Effect, Json, JsonObject, Reload, Revision, Status, Tagged, Violation,
} from "./types";
import type { Element } from "./schema";

const OWN = "/omeconf/v1";

/** An answer that is no success: what it says, and what is wrong where. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly violations: Violation[] = [],
    readonly diff = "",
  ) {
    super(message);
  }
}

interface Sent {
  method?: string;
  body?: string;
  type?: string;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

/** How a write is to be done. */
export interface How {
  tag?: string;
  dryRun?: boolean;
  message?: string;
  confirmSeconds?: number | null;
}

export function authorization(given: string): string {
  const bytes = new TextEncoder().encode(given);
  return "Basic " + btoa(String.fromCharCode(...bytes));
}

async function call(path: string, sent: Sent = {}): Promise<Response> {
  const given = token.value;
  if (given === null) throw new Problem(401, "You are not signed in.");
  const headers: Record<string, string> = { ...sent.headers, Authorization: authorization(given) };
  if (sent.type) headers["Content-Type"] = sent.type;
  let answer: Response;
  try {
    answer = await fetch(path, {
      method: sent.method ?? "GET", body: sent.body, headers, signal: sent.signal,
      cache: "no-store", credentials: "omit", redirect: "error",
    });
  } catch (error) {
    if (sent.signal?.aborted) throw error;
    throw new Problem(0, "The daemon does not answer.");
  }
  if (answer.ok) return answer;
  if (answer.status === 401 && token.value === given) signOut();
  throw await problem(answer);
}

async function problem(answer: Response): Promise<Problem> {
  try {
    const body = await answer.json();
    return new Problem(answer.status, body.title ?? body.message, body.violations, body.diff);
  } catch {
    return new Problem(answer.status, answer.statusText || `Status ${answer.status}`);
  }
}

async function write(
  path: string, body: string, type: string, how: How, method: string,
): Promise<Effect> {
  const query = new URLSearchParams();
  if (how.dryRun) query.set("dryRun", "true");
  if (how.confirmSeconds) query.set("confirm", String(how.confirmSeconds));
  const headers: Record<string, string> = {};
  if (how.tag) headers["If-Match"] = how.tag;
  if (how.message) headers["Omeconf-Message"] = latin(how.message);
  const joined = path + (path.includes("?") ? "&" : "?") + query;
  const answer = await call(joined, { method, body, type, headers });
  return { violations: [], changes: [], plan: [], diff: "", ...(await answer.json()) };
}

/** A text as a header can carry it: the bytes of its UTF-8, one line. */
function latin(text: string): string {
  const line = text.replace(/\s+/g, " ").trim();
  return String.fromCharCode(...new TextEncoder().encode(line));
}

async function json<T>(path: string): Promise<T> {
  return (await call(path)).json();
}

/** The text of an answer, to the byte: with its byte order mark, if it has one. */
async function text(answer: Response): Promise<string> {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(await answer.arrayBuffer());
  } catch {
    throw new Problem(0, "This is not UTF-8: it cannot be shown here without changing it.");
  }
}

async function tagged<T>(answer: Response, value: Promise<T>): Promise<Tagged<T>> {
  return { value: await value, tag: answer.headers.get("ETag") ?? "" };
}

export const getStatus = () => json<Status>(`${OWN}/status`);

export async function getConfig(): Promise<Tagged<JsonObject>> {
  const answer = await call(`${OWN}/config`);
  return tagged(answer, answer.json());
}

export const getModel = () => json<{ elements: Element[] }>(`${OWN}/schema?form=model`);

/** The newest revisions, or those before one. */
export const getRevisions = async (limit: number, below?: number) =>
  (await json<{ revisions: Revision[] }>(
    `${OWN}/revisions?changes=true&limit=${limit}${below ? `&below=${below}` : ""}`,
  )).revisions;

export const getRevision = (number: number) =>
  json<Revision & { files: Record<string, string> }>(`${OWN}/revisions/${number}`);

export const getDifference = (number: number, against: number) =>
  json<Difference>(`${OWN}/revisions/${number}/diff?against=${against}`);

export const getReloads = async () =>
  (await json<{ reloads: Reload[] }>(`${OWN}/reloads`)).reloads;

/** A file as the newest revision has it, or as it lies on disk. */
export async function getFile(name: string, of: "head" | "disk" = "head"): Promise<Tagged<string>> {
  const answer = await call(`${OWN}/document?${query({ file: name, of })}`);
  return tagged(answer, text(answer));
}

/** One element as it is written, and the line and column where it begins in its file. */
export async function getElement(path: string): Promise<Tagged<string> & { place: Place }> {
  const answer = await call(`${OWN}/document?${query({ path })}`);
  return { ...(await tagged(answer, text(answer))), place: place(answer) };
}

export const putFile = (name: string, text: string, how: How) =>
  write(`${OWN}/document?${query({ file: name })}`, text, "application/xml", how, "PUT");

export const putElement = (path: string, text: string, how: How) =>
  write(`${OWN}/document?${query({ path })}`, text, "application/xml", how, "PUT");

/** One edit of the whole configuration: a merge patch at a path. */
export const merge = (path: string, value: Json, how: How) =>
  write(
    `${OWN}/transactions`,
    JSON.stringify({ edits: [{ verb: "merge", path, value }] }),
    "application/json", how, "POST",
  );

/** An old state again; refused if somebody was faster: base is the newest revision one knows. */
export const rollback = (revision: number, how: How, base: number) =>
  write(`${OWN}/rollback?base=${base}`, JSON.stringify({ revision }), "application/json", how, "POST");

export const confirm = () => call(`${OWN}/confirm`, { method: "POST" });
export const retry = (id: string) =>
  call(`${OWN}/reloads/${encodeURIComponent(id)}:retry`, { method: "POST" });

/** Where an element begins. */
export interface Place {
  file: string;
  line: number;
  column: number;
}

/** What is wrong with a Server.xml, or with one element in place of what is there. */
export async function check(
  text: string, path: string | null, signal: AbortSignal,
): Promise<{ violations: Violation[]; place: Place }> {
  const where = `${OWN}/check${path === null ? "" : `?${query({ path })}`}`;
  const answer = await call(where, { method: "POST", body: text, type: "application/xml", signal });
  const body = await answer.json();
  return { violations: body.violations, place: place(answer) };
}

/** What happens, as it happens, from now on or after an event; ends when the connection does. */
export async function listen(
  after: string, tell: (kind: string, id: string) => void, signal: AbortSignal,
): Promise<void> {
  const headers: Record<string, string> = after ? { "Last-Event-ID": after } : {};
  const answer = await call(`${OWN}/events`, { headers, signal });
  tell("open", after);
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop()!;
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s)));
      if (fields.event) tell(fields.event, fields.id ?? "");
    }
  }
}

function place(answer: Response): Place {
  const [line, column] = (answer.headers.get("Omeconf-Place") ?? "1:1").split(":").map(Number);
  const file = decodeURIComponent(answer.headers.get("Omeconf-File") ?? "");
  return { file, line: line ?? 1, column: column ?? 1 };
}

function query(values: Record<string, string>): string {
  return new URLSearchParams(values).toString();
}
