"""`/admin/`: what waits, highest tier first."""

from __future__ import annotations

from pyramid.config import Configurator

from gatehouse.gate.desk import Desk
from gatehouse.web.admin.guard import Visit, signed_in
from gatehouse.web.admin.paging import page_number
from gatehouse.web.replies import Reply


def includeme(config: Configurator) -> None:
    """The first page of the desk."""
    config.add_resource("admin", "/admin/", {"GET": signed_in(queue)})


def queue(visit: Visit) -> Reply:
    """A page of what waits."""
    desk = Desk(database=visit.request.gatehouse.database)
    return visit.page("queue/queue.html", queue=desk.waiting(page_number(visit.request)))
