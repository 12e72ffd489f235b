// Who uses the console: the API's token, kept for the life of the tab and no longer.
import { computed, signal } from "@preact/signals";
import type { Role, Status } from "./types";

const KEY = "omeconf.token";
const ROLES: Role[] = ["read", "write", "admin"];

export const token = signal<string | null>(sessionStorage.getItem(KEY));

/** How things stand, as the daemon said last; null before it has. */
export const status = signal<Status | null>(null);

export const role = computed<Role>(() => status.value?.caller.role ?? "read");

/** Whether the one who is signed in has the rights of a role. */
export function may(wanted: Role): boolean {
  return ROLES.indexOf(role.value) >= ROLES.indexOf(wanted);
}

export function signIn(given: string): void {
  sessionStorage.setItem(KEY, given);
  token.value = given;
}

export function signOut(): void {
  sessionStorage.removeItem(KEY);
  token.value = null;
  status.value = null;
}
