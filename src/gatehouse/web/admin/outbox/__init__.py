"""`/admin/outbox`: work that failed for good, to be read; the command line acts on it."""

from __future__ import annotations

from pyramid.config import Configurator

from gatehouse.gate.letters import PAGE, Letters
from gatehouse.web.admin.guard import Visit, signed_in
from gatehouse.web.admin.paging import page_number
from gatehouse.web.replies import Reply


def includeme(config: Configurator) -> None:
    """The dead letters."""
    config.add_resource("admin-outbox", "/admin/outbox", {"GET": signed_in(outbox)})


def outbox(visit: Visit) -> Reply:
    """A page of dead letters, the oldest first."""
    gatehouse = visit.request.gatehouse
    number = page_number(visit.request)
    found = Letters(database=gatehouse.database, clock=gatehouse.clock).list(
        limit=PAGE + 1, offset=(number - 1) * PAGE
    )
    return visit.page("outbox/outbox.html", letters=found[:PAGE], page=number, more=len(found) > PAGE)
