"""What the web counts, and how the gate is at each scrape, on the registry that the wiring hands out."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from gatehouse.core.errors import GatehouseError
from gatehouse.gate.status import Health, Overview
from gatehouse.malware.model import Tier


class WebMetrics:
    """Requests by route, method and status, their time, and faults by code."""

    #: Where Pyramid's registry keeps it.
    KEY = "gatehouse.web.metrics"

    def __init__(self, registry: CollectorRegistry) -> None:
        self.faults = Counter(
            "gatehouse_http_faults", "Refused or failed requests by code.", ["code"], registry=registry
        )
        self.requests = Counter(
            "gatehouse_http_requests",
            "Answered requests by route, method and status.",
            ["route", "method", "status"],
            registry=registry,
        )
        self.seconds = Histogram(
            "gatehouse_http_request_seconds",
            "Seconds from the whole request to the beginning of its answer, by route.",
            ["route"],
            buckets=(0.002, 0.01, 0.05, 0.2, 1, 5, 30),
            registry=registry,
        )


class GateMetrics(Collector):
    """How the gate is, read at each scrape: every process that shares the database says the same."""

    def __init__(self, health: Health) -> None:
        self._health = health

    def collect(self) -> Iterator[Metric]:
        """All of it; where the gate cannot say how it is, that alone."""
        try:
            overview = self._health.overview()
        except GatehouseError:
            yield GaugeMetricFamily("gatehouse_readable", _READABLE, 0)
            return
        yield GaugeMetricFamily("gatehouse_readable", _READABLE, 1)
        yield from _of_publications(overview)
        yield from _of_work(overview)


_READABLE = "Whether database and offline metadata could be read at this scrape; if not, /readyz says why."


def _of_publications(overview: Overview) -> Iterator[Metric]:
    last = overview.last_publication
    # Each publication has a timestamp of its own, and versions have no gaps.
    count = 0 if last is None else last.timestamp_version
    yield CounterMetricFamily("gatehouse_publications", "Publications since the repository began.", count)
    published = GaugeMetricFamily(
        "gatehouse_last_publication_timestamp_seconds",
        "When the newest publication was published; nothing while it is only committed.",
    )
    if last is not None and last.published_at is not None:
        published.add_metric([], last.published_at.timestamp())
    yield published
    expiry = GaugeMetricFamily(
        "gatehouse_role_expiry_timestamp_seconds",
        "When a role's metadata expires; of the bins of a family, the first.",
        labels=["role"],
    )
    for role in overview.roles:
        expiry.add_metric([role.name], role.expires.timestamp())
    yield expiry
    yield from _of_warnings(overview)
    if last is not None and last.published_at is not None:
        yield GaugeMetricFamily(
            "gatehouse_last_publication_seconds",
            "How long the newest publication took from its commit to its mark.",
            (last.published_at - last.committed_at).total_seconds(),
        )


def _of_warnings(overview: Overview) -> Iterator[Metric]:
    """Every role has a line, so that whoever watches knows a role that is well from one that is gone."""
    levels = {role.name: 0 for role in overview.roles} | {
        warning.role: int(warning.level) for warning in reversed(overview.warnings)
    }
    urgency = GaugeMetricFamily(
        "gatehouse_role_urgency",
        "How pressing it is that a role be renewed: 0 not, 1 notice, 2 warning, 3 critical.",
        labels=["role"],
    )
    for role, level in levels.items():
        urgency.add_metric([role], level)
    yield urgency


def _of_work(overview: Overview) -> Iterator[Metric]:
    pending = "Target changes that no publication has taken."
    yield GaugeMetricFamily("gatehouse_pending_changes", pending, overview.pending_changes)
    refused = "Target changes that can never be published and were set aside; the log says why."
    yield GaugeMetricFamily("gatehouse_refused_changes", refused, overview.refused_changes)
    waiting = "Messages in the outbox: work that waits or is under way."
    yield GaugeMetricFamily("gatehouse_outbox_messages", waiting, overview.waiting_messages)
    dead = "Messages that failed for good; the log says why."
    yield GaugeMetricFamily("gatehouse_dead_letters", dead, overview.dead_messages)
    desk = GaugeMetricFamily(
        "gatehouse_desk_waiting", "Subjects that wait for a person, by tier reached.", labels=["tier"]
    )
    for tier in Tier:
        desk.add_metric([tier.word], overview.waiting_subjects.get(tier, 0))
    yield desk
