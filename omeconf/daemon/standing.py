"""How things stand, in one line for people: STATUS= of `systemctl status`."""

from __future__ import annotations

from omeconf.daemon.jobs import State
from omeconf.daemon.service import Service
from omeconf.store.head import Head


def standing(service: Service) -> str:
    """``revision 12 healthy; 3 virtual hosts, 8 applications``, and what is not as it should be."""
    repository = service.repository
    head = repository.runs or repository.head
    parts = [f"revision {head.revision.number} {_state(service, head)}; {_counts(head)}"] if (
        head
    ) else ["no valid configuration is known yet"]  # fmt: skip
    drift, armed = repository.drift, service.confirmation.as_json()
    if drift is not None:
        where = next((f": {v.file}:{v.line}" for v in drift.errors), "")
        parts.append(f"errors in the files on disk{where}")
    for text in (
        repository.missing,
        repository.unrecorded and f"cannot record a manual edit: {repository.unrecorded}",
        repository.held is not None and f"held: {repository.held}",
        repository.obstacle and f"read only: {repository.obstacle}",
        repository.history.trouble and f"history: {repository.history.trouble}",
        service.engine is not None and service.engine.unpublished,
        _group(service),
        armed and f"waits to be confirmed until {armed['deadline']}",
    ):
        if text:
            parts.append(text)
    return " | ".join(parts).replace("\n", " ")


def engine_state(service: Service) -> str:
    """Of the engine that omeconf speaks to: none, current, replay (it is being given everything),
    or away."""
    reloader, engine = service.reloader, service.engine
    if engine is None or engine.live is None:
        return "none"
    pending, current = reloader.pending, reloader.current
    if engine.is_reachable is False or (pending is not None and pending.tries):
        return "away"
    return "replay" if any(job and job.is_replay for job in (pending, current)) else "current"


def _state(service: Service, head: Head) -> str:
    """What the engine makes of the newest revision."""
    reloader = service.reloader
    number = head.revision.number
    job = reloader.current or reloader.pending
    if job is not None and job.last >= number:
        if engine_state(service) == "away":
            return "waits for the engine, which is away"
        return "is being replayed to the engine" if job.is_replay else "is being reloaded"
    last = reloader.last
    if last is not None and last.last == number:
        return {
            State.HEALTHY: "healthy",
            State.WAITING: "needs a restart, for which no hook is set",
            State.FAILED: "failed to reload",
            State.REVERTED: "failed to reload",
        }.get(last.state, last.state.value)
    if reloader.running is None or reloader.running.revision.number != number:
        return "not reloaded"
    return "assumed to run" if service.running.is_assumed else "healthy"


def _group(service: Service) -> str:
    """How it stands with the group that this is a member of; "" if it is of none."""
    if service.group is None:
        return ""
    found = service.group.as_json()
    why = f": {found['trouble']}" if found["trouble"] else ""
    return f"group {found['group']}: {found['state']}{why}, revision {found['confirmed']} confirmed"


def _counts(head: Head) -> str:
    root = head.checked.root
    hosts = list(root.every("VirtualHosts/VirtualHost")) if root is not None else []
    places = [place for host in hosts for place in host.all("Applications")]
    applications = sum(len(place.all("Application")) for place in places)
    return f"{_many(len(hosts), 'virtual host')}, {_many(applications, 'application')}"


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
