"""`/admin/audit`: what was done or tried in the administration."""

from __future__ import annotations

from pyramid.config import Configurator

from gatehouse.gate.desk import Desk
from gatehouse.web.admin.guard import Visit, signed_in
from gatehouse.web.admin.paging import page_number
from gatehouse.web.replies import Reply


def includeme(config: Configurator) -> None:
    """The audit log."""
    config.add_resource("admin-audit", "/admin/audit", {"GET": signed_in(audit)})


def audit(visit: Visit) -> Reply:
    """A page of the audit log, newest first."""
    desk = Desk(database=visit.request.gatehouse.database)
    return visit.page("audit/audit.html", log=desk.audit(page_number(visit.request)))
