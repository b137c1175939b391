"""Rendering: one Jinja2 environment for all screens, and the headers that every page of them carries.

`visible` is the environment's `finalize`: it runs over every value that a template prints, so that no template can
forget it; autoescape follows it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from gatehouse.malware.weighing.features import by_check
from gatehouse.web.admin.visible import visible
from gatehouse.web.admin.words import ACTIONS, CONTEXTS, OUTCOMES, STATES, TIERS
from gatehouse.web.replies import Reply, text_reply
from gatehouse.web.request import Request

POLICY = "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> Reply:  # noqa: ANN401 - a template takes anything
    """A page of a template."""
    text = _ENVIRONMENT.get_template(template).render(up=up(request), now=request.gatehouse.clock.now(), **values)
    return text_reply(text, status=status, content_type="text/html")


def up(request: Request) -> str:
    """The way from the page asked for to the root, so that links hold behind any prefix and any Host."""
    return "../" * (request.environ["PATH_INFO"].count("/") - 1) or "./"


def finished(reply: Reply) -> Reply:
    """The headers of every answer of the administration."""
    reply.headers["Content-Security-Policy"] = POLICY
    reply.headers["Cache-Control"] = "no-store"
    # With `no-referrer`, browsers send `Origin: null` with our own forms: nobody could tell them from others.
    reply.headers["Referrer-Policy"] = "same-origin"
    reply.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    reply.headers["X-Robots-Tag"] = "noindex"
    return reply


def _finalize(value: object) -> object:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _moment(value: datetime) -> str:
    return value.strftime("%Y-%m-%d %H:%M:%S UTC")


def _ago(value: datetime, now: datetime) -> str:
    span = max(now - value, timedelta(0))
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        count = int(span.total_seconds()) // size
        if count:
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    return "just now"


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("gatehouse.web.admin", ""),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"moment": _moment, "ago": _ago, "by_check": by_check}
    environment.globals |= {
        "TIERS": TIERS,
        "CONTEXTS": CONTEXTS,
        "OUTCOMES": OUTCOMES,
        "ACTIONS": ACTIONS,
        "STATES": STATES,
    }
    return environment


_ENVIRONMENT = _environment()
