"""`/admin/decisions`: what people decided lately."""

from __future__ import annotations

from pyramid.config import Configurator

from gatehouse.gate.desk import Desk
from gatehouse.web.admin.guard import Visit, signed_in
from gatehouse.web.replies import Reply


def includeme(config: Configurator) -> None:
    """The list of decisions."""
    config.add_resource("admin-decisions", "/admin/decisions", {"GET": signed_in(decisions)})


def decisions(visit: Visit) -> Reply:
    """The newest decisions on anything."""
    desk = Desk(database=visit.request.gatehouse.database)
    return visit.page("decisions/decisions.html", decisions=desk.decisions())
