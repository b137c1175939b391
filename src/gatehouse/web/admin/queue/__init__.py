"""`/admin/`: what waits, highest tier first; and `/admin/find`: what does not wait."""

from __future__ import annotations

from pyramid.config import Configurator

from gatehouse.gate.check_book import CheckBook
from gatehouse.gate.desk import Desk
from gatehouse.web.admin.guard import Visit, signed_in
from gatehouse.web.admin.paging import page_number
from gatehouse.web.replies import Reply, redirect


def includeme(config: Configurator) -> None:
    """The first page of the desk."""
    config.add_resource("admin", "/admin/", {"GET": signed_in(queue)})
    config.add_resource("admin-find", "/admin/find", {"GET": signed_in(find)})


def queue(visit: Visit) -> Reply:
    """A page of what waits."""
    gatehouse = visit.request.gatehouse
    desk = Desk(database=gatehouse.database)
    book = CheckBook(database=gatehouse.database, clock=gatehouse.clock, lifecycle=gatehouse.lifecycle)
    return visit.page("queue/queue.html", queue=desk.waiting(page_number(visit.request)), notices=book.notices())


def find(visit: Visit) -> Reply:
    """The page of a project, by its name."""
    number = Desk(database=visit.request.gatehouse.database).find(visit.request.GET.get("name", ""))
    return redirect(f"subjects/{number}", status=303)
