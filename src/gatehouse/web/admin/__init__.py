"""The administration: log-in, the desk, decisions, the audit log. A folder a screen.

Plain HTML with stylesheets and no script. It answers to this machine only (`guard`), until accounts can prove more
than a password and a code. Every string is escaped by Jinja2 and has its invisible characters made visible.
"""

from __future__ import annotations

from importlib.resources import files

from pyramid.config import Configurator

from gatehouse.web.admin.guard import guarded
from gatehouse.web.replies import REVALIDATE, Reply, bytes_reply, redirect
from gatehouse.web.request import Request

SCREENS = ("login", "queue", "subject", "copies", "decisions", "checks", "outbox", "audit")


def includeme(config: Configurator) -> None:
    """All screens, and their stylesheet."""
    stylesheet = files(__name__).joinpath("desk.css").read_bytes()

    def desk_css(request: Request) -> Reply:
        return bytes_reply(request, stylesheet, content_type="text/css", charset="utf-8", cache_control=REVALIDATE)

    config.add_resource("admin-bare", "/admin", {"GET": _to_desk})
    config.add_resource("admin-css", "/admin/desk.css", {"GET": guarded(desk_css)})
    for screen in SCREENS:
        config.include(f"{__name__}.{screen}")


def _to_desk(_request: Request) -> Reply:
    return redirect("admin/", status=301)
