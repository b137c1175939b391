"""The WSGI application: every room of the web, joined to the wired house.

Each room is an `includeme`, and its routes stand in the room. Here stand only the things that hold for every
answer: security headers, metrics, and that no exception shows a stack trace to a stranger.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING
from wsgiref.types import WSGIApplication

from pyramid.config import Configurator
from pyramid.registry import Registry

from gatehouse.web.check_metrics import CheckMetrics
from gatehouse.web.metrics import GateMetrics, WebMetrics
from gatehouse.web.replies import Reply
from gatehouse.web.request import Request
from gatehouse.web.surrogates import finish as finish_for_caches

if TYPE_CHECKING:
    from gatehouse.wiring import Gatehouse

ROOMS = (
    "gatehouse.web.resources",
    "gatehouse.web.problems",
    "gatehouse.web.index.upload",
    "gatehouse.web.index.simple",
    "gatehouse.web.index.files",
    "gatehouse.web.tuf",
    "gatehouse.web.api",
    "gatehouse.web.admin",
    "gatehouse.web.health",
    "gatehouse.web.home",
)

#: No page of ours runs a script; a room that needs a stylesheet says so itself.
_HEADERS = {
    "Content-Security-Policy": ("default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def make_app(gatehouse: Gatehouse) -> WSGIApplication:
    """The application that answers for this house."""
    # Pyramid's own view for its exceptions would answer in HTML; ours answers for all.
    config = Configurator(package="gatehouse.web", exceptionresponse_view=None)
    config.registry[WebMetrics.KEY] = WebMetrics(gatehouse.metrics)
    gatehouse.metrics.register(GateMetrics(gatehouse.health))
    gatehouse.metrics.register(CheckMetrics(gatehouse.lifecycle))
    config.add_request_method(lambda _request: gatehouse, "gatehouse", reify=True)
    config.add_response_adapter(lambda reply: reply, Reply)
    config.add_tween("gatehouse.web.app.finishing_tween")
    for room in ROOMS:
        config.include(room)
    app: WSGIApplication = config.make_wsgi_app()
    return app


def finishing_tween(handler: Callable[[Request], Reply], registry: Registry) -> Callable[[Request], Reply]:
    """The outermost layer: headers that every answer carries, and metrics."""
    metrics: WebMetrics = registry[WebMetrics.KEY]

    def finish(request: Request) -> Reply:
        began = time.perf_counter()
        reply = handler(request)
        for name, value in _HEADERS.items():
            reply.headers.setdefault(name, value)
        finish_for_caches(request, reply)
        if request.gatehouse.settings.public_url.startswith("https://"):
            reply.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
        route = getattr(request, "matched_route", None)
        label = "none" if route is None else route.name
        method = request.method if request.method in _METHODS else "other"
        metrics.requests.labels(label, method, str(reply.status_int)).inc()
        metrics.seconds.labels(label).observe(time.perf_counter() - began)
        return reply

    return finish


#: Labels come from this list alone, so that strangers cannot make new time series.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE"})
