// What the daemon says, kept up to date by its events: the status, and the configuration.
import { signal } from "@preact/signals";
import { getConfig, getModel, getStatus, listen, Problem } from "./api";
import { Model } from "./schema";
import { status, token } from "./session";
import type { JsonObject, Tagged } from "./types";

const LONGEST_WAIT_MS = 5000;

/** The newest revision as JSON, with its ETag; null before it is known. */
export const config = signal<Tagged<JsonObject> | null>(null);
export const model = signal<Model | null>(null);
/** Whether events come in; the page says so when they do not. */
export const isLive = signal(false);
/** Grows with every event, so that a view can load again what it shows. */
export const beat = signal(0);

/** Read again how things stand, and the configuration if it is another. */
export async function refresh(): Promise<void> {
  const before = status.value?.revision.head;
  const found = await getStatus();
  if (found.revision.head !== null && (config.value === null || before !== found.revision.head)) {
    config.value = await getConfig();
  }
  status.value = found;
  beat.value++;
}

/** Read everything at the beginning. Raises Problem. */
export async function load(): Promise<void> {
  const [found] = await Promise.all([getModel(), refresh()]);
  model.value = new Model(found.elements);
}

/** Follow the events until the signal says to stop; a lost connection is made again. */
export async function follow(stop: AbortSignal): Promise<void> {
  let last = "";
  let wait = 250;
  while (!stop.aborted && token.value !== null) {
    try {
      await listen(last, (kind, id) => {
        if (kind === "open") {
          isLive.value = true;
          wait = 250;
        }
        last = id || last;
        refreshSoon();
      }, stop);
    } catch (error) {
      if (stop.aborted || (error instanceof Problem && error.status === 401)) break;
    }
    isLive.value = false;
    await new Promise((resume) => setTimeout(resume, wait));
    wait = Math.min(wait * 2, LONGEST_WAIT_MS);
  }
  isLive.value = false;
}

let running: Promise<void> | null = null;
let isWanted = false;

/** Refresh, once more if something happens meanwhile, but never twice at a time. */
export function refreshSoon(): Promise<void> {
  isWanted = true;
  running ??= (async () => {
    try {
      while (isWanted) {
        isWanted = false;
        await refresh();
      }
    } catch {
      // the connection is lost: `follow` makes it again, and then refreshes
    } finally {
      running = null;
    }
  })();
  return running;
}
