// The overview: which revision is where, what was reloaded last, and the tree of what streams.
import { useEffect, useState } from "preact/hooks";
import { getRevisions, retry } from "./api";
import { type Application, type Host, hosts } from "./configuration";
import { beat, config, refreshSoon } from "./live";
import { Badge, Plan, tell, Time, type Tone } from "./parts";
import { to } from "./router";
import { may, status } from "./session";
import type { Reload, Revision, Status } from "./types";
import { RevisionLine } from "./revision";

const SHOWN = 6;

export function Overview() {
  const now = status.value;
  if (!now) return null;
  return (
    <>
      <h1 class="hidden">Overview</h1>
      <Revisions status={now} />
      <div class="overview">
        <Tree />
        <div class="beside">
          <LastReload status={now} />
          <Newest />
        </div>
      </div>
    </>
  );
}

/** Three revisions apart, and how they stand to the newest. */
function Revisions({ status: now }: { status: Status }) {
  const { head, disk, running, healthy } = now.revision;
  const is = (number: number | null) => (number === head ? "good" : "warning");
  const isBusy = now.reload.current !== null || now.reload.pending !== null;
  return (
    <section class="revisions" aria-label="Revisions">
      <Figure name="Newest" value={head} tone="accent" says="what was saved last" />
      <Figure name="On disk" value={disk} tone={disk === null ? "error" : is(disk)}
        says={disk === null ? "something else, with errors" : "as it is saved"} />
      <Figure name="Running" value={running} tone={isBusy ? "accent" : is(running)}
        says={isBusy ? "is being reloaded" : running === head
          ? (now.runningIsAssumed ? "assumed, until the first reload" : "what the engine runs")
          : "behind the newest"} />
      <Figure name="Healthy" value={healthy} tone={healthy === null ? "quiet" : is(healthy)}
        says={healthy === head ? "known to be well" : healthy === null ? "none is known yet" : "the last known to be well"} />
    </section>
  );
}

function Figure(given: { name: string; value: number | null; tone: Tone; says: string }) {
  return (
    <div class={`figure-box ${given.tone}`}>
      <p class="name">{given.name}</p>
      <p class="number" data-revision={given.name}>{given.value ?? "—"}</p>
      <p class="small quiet">{given.says}</p>
    </div>
  );
}

const OUTCOMES: Record<string, [Tone, string]> = {
  healthy: ["good", "healthy"], waiting: ["warning", "waits"], failed: ["error", "failed"],
  reverted: ["error", "failed, taken back"], running: ["accent", "at work"], pending: ["accent", "to come"],
};

export function Outcome({ state }: { state: string }) {
  const [tone, text] = OUTCOMES[state] ?? ["quiet", state];
  return <Badge tone={tone}>{text}</Badge>;
}

function LastReload({ status: now }: { status: Status }) {
  const { current, pending, last } = now.reload;
  const shown = current ?? pending ?? last;
  return (
    <section class="panel" aria-labelledby="last-reload">
      <h2 id="last-reload">Last reload</h2>
      {shown ? <ReloadShown reload={shown} /> : <p class="quiet">Nothing was reloaded since the start.</p>}
    </section>
  );
}

function ReloadShown({ reload }: { reload: Reload }) {
  const [first, last] = reload.revisions;
  const again = async () => {
    try {
      await retry(reload.id);
    } catch (error) {
      tell(String(error), "error");
    }
    void refreshSoon();
  };
  const failed = reload.calls.filter((call) => call.code !== 0);
  return (
    <>
      <p><Outcome state={reload.state} /> <span class="quiet">
        {first === last ? `revision ${last}` : `revisions ${first} to ${last}`}
        {reload.ended && <>, <Time at={reload.ended} /></>}</span></p>
      <Plan items={reload.plan} />
      {failed.map((call, at) => (
        <pre key={at} class="output" tabindex={0} aria-label="Output of the hook">{call.command}: exit code {call.code}{"\n"}{call.output}</pre>
      ))}
      {["failed", "waiting"].includes(reload.state) && may("write") && (
        <button type="button" class="small" onClick={again}>Try again</button>
      )}
    </>
  );
}

function Newest() {
  const [found, setFound] = useState<Revision[]>([]);
  useEffect(() => void getRevisions(SHOWN).then(setFound, () => {}), [beat.value]);
  return (
    <section class="panel" aria-labelledby="newest">
      <h2 id="newest">Newest revisions</h2>
      <ul class="lines">
        {found.map((revision) => (
          <li key={revision.number}><a class="row" href={to("compare", revision.parent, revision.number)}>
            <RevisionLine revision={revision} /></a></li>
        ))}
      </ul>
      <p><a href={to("history")}>The whole history</a></p>
    </section>
  );
}

/** Virtual hosts, applications and output profiles; what is searched for may be any of them. */
function Tree() {
  const [wanted, setWanted] = useState("");
  const found = config.value ? searched(hosts(config.value.value), wanted) : [];
  const count = found.reduce((sum, host) => sum + host.applications.length, 0);
  return (
    <section class="panel tree" aria-labelledby="tree">
      <header>
        <h2 id="tree">Virtual hosts and applications</h2>
        <label class="search">
          <span class="hidden">Search</span>
          <input type="search" name="search" placeholder="Search…" value={wanted}
            onInput={(event) => setWanted(event.currentTarget.value)} />
        </label>
      </header>
      <p class="hidden" role="status">{wanted ? `${count} applications found` : ""}</p>
      {found.length === 0 && <p class="quiet">{wanted ? "Nothing is called so." : "There is none."}</p>}
      <ul>{found.map((host) => <HostShown key={host.name} host={host} />)}</ul>
    </section>
  );
}

function HostShown({ host }: { host: Host }) {
  return (
    <li class="host">
      <p><strong>{host.name}</strong> <span class="quiet small">{host.names.join(", ")}</span></p>
      <ul>
        {host.applications.map((each) => (
          <ApplicationShown key={each.name} host={host.name} application={each} />
        ))}
        {host.applications.length === 0 && <li class="quiet">no applications</li>}
      </ul>
    </li>
  );
}

function ApplicationShown({ host, application }: { host: string; application: Application }) {
  return (
    <li class="application">
      <a class="row" href={to("app", host, application.name)}>
        <span class="name">{application.name}</span>
        <span class="protocols small quiet">
          {application.providers.join(" ") || "—"} <span aria-label="to">→</span>{" "}
          {application.publishers.join(" ") || "—"}
        </span>
      </a>
      {application.profiles.length > 0 && (
        <ul class="profiles" aria-label={`Output profiles of ${application.name}`}>
          {application.profiles.map((profile) => (
            <li key={profile}><a href={to("app", host, application.name, "form", profile)}>{profile}</a></li>
          ))}
        </ul>
      )}
    </li>
  );
}

/** What has the words in its name, or holds something that has. */
function searched(all: Host[], wanted: string): Host[] {
  const words = wanted.trim().toLowerCase();
  const has = (name: string) => name.toLowerCase().includes(words);
  if (!words) return all;
  return all.flatMap((host) => {
    if (has(host.name)) return [host];
    const applications = host.applications.filter((each) => has(each.name) || each.profiles.some(has));
    return applications.length ? [{ ...host, applications }] : [];
  });
}
