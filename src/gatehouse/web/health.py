"""For those who run it: liveness, readiness, Prometheus."""

from __future__ import annotations

import json

from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from pyramid.config import Configurator

from gatehouse.web.replies import Reply, text_reply
from gatehouse.web.request import Request


def includeme(config: Configurator) -> None:
    """Three addresses that answer to machines."""
    config.add_resource("healthz", "/healthz", {"GET": alive})
    config.add_resource("readyz", "/readyz", {"GET": ready})
    config.add_resource("metrics", "/metrics", {"GET": metrics})


def alive(_request: Request) -> Reply:
    """The process answers. Nothing else is asked, so that a sick database does not restart it."""
    return text_reply("ok\n")


def ready(request: Request) -> Reply:
    """Whether uploads and downloads would work: 200, or 503 with the reasons."""
    reasons = request.gatehouse.health.ready()
    body = json.dumps({"ready": not reasons, "reasons": reasons}) + "\n"
    return text_reply(body, status=503 if reasons else 200, content_type="application/json")


def metrics(request: Request) -> Reply:
    """All that is counted, in Prometheus' text format."""
    reply = Reply(generate_latest(request.gatehouse.metrics))
    reply.headers["Content-Type"] = CONTENT_TYPE_LATEST
    reply.headers["Cache-Control"] = "no-store"
    return reply
