"""/omeconf/v1/metrics: counts and states for Prometheus."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from omeconf.api.writing import service_of
from omeconf.core.rollout import ENDED, Phase
from omeconf.daemon.events import Event
from omeconf.daemon.service import Service


class Metrics:
    """The metrics of one daemon."""

    def __init__(self, service: Service) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "omeconf_http_requests",
            "Requests answered, by route and status.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "omeconf_http_request_seconds",
            "How long an answer took, with the wait for the reload.",
            ("method",),
            registry=self.registry,
        )
        self.revisions = Counter(
            "omeconf_revisions", "Revisions made, by origin.", ("origin",), registry=self.registry
        )
        self.reloads = Counter(
            "omeconf_reloads", "Reloads ended, by state.", ("state",), registry=self.registry
        )
        self.registry.register(_States(service))
        self.fleet = _Fleet(service)
        self.registry.register(self.fleet)
        service.events.listen(self._count)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer."""
        self.requests.labels(method, route, str(status)).inc()
        self.seconds.labels(method).observe(seconds)

    def counter(self, method: str, route: str, status: int) -> Callable[[float], None]:
        """What counts answers that are all alike, by how many seconds each took."""
        requests, seconds = self.requests.labels(method, route, str(status)), self.seconds
        observe = seconds.labels(method).observe

        def count(took_s: float) -> None:
            requests.inc()
            observe(took_s)

        return count

    def _count(self, event: Event) -> None:
        if event.kind == "revision":
            self.revisions.labels(event.data["revision"]["origin"]).inc()
        elif event.kind == "reload" and event.data["state"] not in ("pending", "running"):
            self.reloads.labels(event.data["state"]).inc()
        elif event.kind == "rollout":
            self.fleet.count(event.data["id"], Phase(event.data["phase"]))


class _States:
    """Gauges that are looked up when they are asked for."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def describe(self) -> Iterator[Metric]:
        """Nothing to know beforehand."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """How things stand now."""
        service = self.service
        repository, reloader = service.repository, service.reloader
        head, running = repository.head, reloader.running
        revision = GaugeMetricFamily(
            "omeconf_revision", "Revision numbers: newest, and what the engine runs.", labels=["of"]
        )
        revision.add_metric(["head"], head.revision.number if head else 0)
        revision.add_metric(["running"], running.revision.number if running else 0)
        yield revision
        for name, text, value in (
            ("omeconf_drift", "1 while the files on disk have errors.", repository.drift),
            ("omeconf_read_only", "1 while Server.xml cannot be written.", repository.obstacle),
            ("omeconf_held", "1 while nothing is adopted.", repository.held is not None),
            (
                "omeconf_confirm_open",
                "1 while something waits to be confirmed.",
                service.confirmation.armed,
            ),
        ):
            yield GaugeMetricFamily(name, text, value=float(bool(value)))


class _Fleet:
    """The same of the group; nothing on a machine of its own."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.ended = dict.fromkeys(ENDED, 0)
        """How many rollouts ended so."""
        self._last: tuple[int, Phase] | None = None

    def describe(self) -> Iterator[Metric]:
        """Nothing to know beforehand."""
        return iter(())

    def count(self, number: int, phase: Phase) -> None:
        """Count a rollout once it has ended; one that had ended when we came is not counted."""
        last, self._last = self._last, (number, phase)
        if phase in ENDED and last not in (None, self._last):
            self.ended[phase] += 1

    def collect(self) -> Iterator[Metric]:
        """How things stand now."""
        group = self.service.group
        if group is None:
            return
        found = group.standing()
        yield GaugeMetricFamily(
            "omeconf_fleet_state",
            "1 while this member goes with its group.",
            value=float(found["state"] in ("ok", "slow")),
        )
        present = sum(each["present"] for each in found["members"])
        members = GaugeMetricFamily(
            "omeconf_fleet_members", "Members of the group, by whether they are there.",
            labels=["state"],
        )  # fmt: skip
        members.add_metric(["present"], present)
        members.add_metric(["away"], len(found["members"]) - present)
        yield members
        revision = GaugeMetricFamily(
            "omeconf_fleet_revision",
            "Revision numbers of the group: newest, and what all shall run.",
            labels=["of"],
        )
        for of in ("head", "confirmed"):
            revision.add_metric([of], found[of] or 0)
        yield revision
        rollouts = CounterMetricFamily(
            "omeconf_fleet_rollouts", "Rollouts that this member saw end.", labels=["phase"]
        )
        for phase, count in self.ended.items():
            rollouts.add_metric([phase.value], count)
        yield rollouts
        yield GaugeMetricFamily(
            "omeconf_fleet_drives",
            "1 while this member drives the group's rollouts.",
            value=float(found["driver"] == found["node"]),
        )


async def exposition(request: Request) -> Response:
    """Counts and states in the format of Prometheus."""
    metrics: Metrics = request.app.state.metrics
    if service_of(request).group is None:
        text = generate_latest(metrics.registry)
    else:  # how a group stands is looked up in the history, too: not on the event loop
        text = await asyncio.to_thread(generate_latest, metrics.registry)
    return Response(text, media_type=CONTENT_TYPE_LATEST)
