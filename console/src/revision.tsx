// A revision in one line: its number, what it was for, who made it, when, and how its reload went.
import { Badge, Time, type Tone } from "./parts";
import type { Revision } from "./types";

const ORIGINS: Record<string, string> = {
  api: "over the API", cli: "on the command line", file: "by hand", rollback: "rolled back",
};
const RELOADS: Record<string, Tone> = {
  ok: "good", healthy: "good", failed: "error", reverted: "error", waiting: "warning", pending: "accent",
};

export function RevisionLine({ revision }: { revision: Revision }) {
  return (
    <>
      <span class="number">{revision.number}</span>
      <span class="grow">
        <span class="message">{revision.message || <span class="quiet">no message</span>}</span>{" "}
        <span class="small quiet">{revision.author && `by ${revision.author}, `}
          {ORIGINS[revision.origin] ?? revision.origin},{" "}
          <Time at={revision.time} /></span>
      </span>
      {revision.reload && <Badge tone={RELOADS[revision.reload] ?? "quiet"}>{revision.reload}</Badge>}
    </>
  );
}
