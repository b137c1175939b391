"""What the web counts, on the registry that the wiring hands out."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram


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
