"""/omeconf/v1/metrics: counts and states for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from omeconf.api.writing import service_of
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


async def exposition(request: Request) -> Response:
    """Counts and states in the format of Prometheus."""
    metrics: Metrics = request.app.state.metrics
    service_of(request)
    return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)
