// What the API answers, as far as the console uses it; omeconf/v1/openapi.json has all of it.

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };
export type Role = "read" | "write" | "admin";
export type Severity = "error" | "warning" | "advice";

export interface Violation {
  severity: Severity;
  code: string;
  file: string;
  line: number;
  column: number;
  path: string;
  message: string;
  hint: string;
}

export interface PlanItem {
  scope: "application" | "virtualHost" | "server";
  action: "create" | "restart" | "delete";
  virtualHost?: string;
  application?: string;
}

export interface Change {
  kind: string;
  path: string;
  old?: string | null;
  new?: string | null;
}

export interface Reload {
  id: string;
  revisions: [number, number];
  state: string;
  plan: PlanItem[];
  made: string | null;
  began: string | null;
  ended: string | null;
  tries: number;
  calls: { command: string; code: number; output: string }[];
}

export interface Confirm {
  backTo: number;
  deadline: string;
  seconds: number;
}

export interface Status {
  version: string;
  caller: { name: string; role: Role };
  serverXml: string;
  revision: { head: number | null; disk: number | null; running: number | null; healthy: number | null };
  runningIsAssumed: boolean;
  missing: string | null;
  unrecorded: string | null;
  held: string | null;
  readOnly: string | null;
  history: string | null;
  confirm: Confirm | null;
  drift: { violations: Violation[] } | null;
  reload: { pending: Reload | null; current: Reload | null; last: Reload | null };
  restartNeeded: boolean;
  engine: { url: string | null; folder: string | null; reachable: boolean | null; drift: string[] } | null;
  watching: { folders: string[]; trouble: string | null } | null;
}

export interface Revision {
  number: number;
  parent: number;
  author: string;
  time: string;
  message: string;
  origin: "api" | "cli" | "file" | "rollback";
  reload: string | null;
  reverts: number[];
  changes?: Change[];
  changesMore?: number;
}

/** What a write, a dry run or a check says of what it changes. */
export interface Effect {
  revision?: number;
  reload?: string;
  good?: boolean;
  violations: Violation[];
  changes: Change[];
  plan: PlanItem[];
  diff: string;
}

export interface Difference {
  changes: Change[];
  plan: PlanItem[];
  text: string;
}

/** A text or value as it was read, with what If-Match wants. */
export interface Tagged<T> {
  value: T;
  tag: string;
}
