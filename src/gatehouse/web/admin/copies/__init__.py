"""`/admin/subjects/<id>/copies`: the files of nearly the same code, and one decision on those that are chosen."""

from __future__ import annotations

import re

from pyramid.config import Configurator

from gatehouse.gate.decide import MAX_REASON
from gatehouse.gate.desk import Desk
from gatehouse.web.admin.forms import action_of
from gatehouse.web.admin.guard import Visit, signed_in
from gatehouse.web.admin.paging import page_number
from gatehouse.web.replies import Reply, redirect

_ADDRESS = "/admin/subjects/{id:[0-9]{1,15}}/copies"
_BOX = re.compile(r"file-([0-9]{1,15})")


def includeme(config: Configurator) -> None:
    """The list and its form."""
    config.add_resource("admin-copies", _ADDRESS, {"GET": signed_in(copies), "POST": signed_in(decide)})


def copies(visit: Visit) -> Reply:
    """A page of the list."""
    desk = Desk(database=visit.request.gatehouse.database)
    found = desk.copies(int(visit.request.matchdict["id"]), page_number(visit.request))
    return visit.page("copies/copies.html", copies=found, max_reason=MAX_REASON)


def decide(visit: Visit) -> Reply:
    """Decide on the chosen files, on all of them or none; back to the list, which then shows it."""
    fields = visit.form()
    gatehouse = visit.request.gatehouse
    desk = Desk(database=gatehouse.database)
    boxes = (_BOX.fullmatch(name) for name in fields)
    gatehouse.decide.together(
        actor=visit.member.name,
        files=[desk.subject(int(box[1])) for box in boxes if box is not None],
        action=action_of(fields),
        reason=fields.get("reason", "").replace("\r\n", "\n"),
        remote=visit.remote,
    )
    return redirect(f"copies?page={page_number(visit.request)}", status=303)
