"""`/admin/checks` and `/admin/checks/<name>`: where checks stand, how they came there, what they are worth.

Read-only: every member of staff may review, and none is told apart as an administrator, so that a check is moved
where only an administrator is, on the command line (`gatehouse checks state`).
"""

from __future__ import annotations

from pyramid.config import Configurator

from gatehouse.gate.check_book import CheckBook
from gatehouse.web.admin.guard import Visit, signed_in
from gatehouse.web.replies import Reply


def includeme(config: Configurator) -> None:
    """The list, and a page for each check."""
    config.add_resource("admin-checks", "/admin/checks", {"GET": signed_in(checks)})
    config.add_resource("admin-check", "/admin/checks/{name:[a-z0-9-]{1,64}}", {"GET": signed_in(check)})


def checks(visit: Visit) -> Reply:
    """All checks that are here."""
    book = _book(visit)
    fault = visit.request.gatehouse.lifecycle.fault()
    return visit.page("checks/checks.html", lines=book.lines(), notices=book.notices(), fault=fault)


def check(visit: Visit) -> Reply:
    """All that is known of one."""
    return visit.page("checks/check.html", page=_book(visit).page(visit.request.matchdict["name"]))


def _book(visit: Visit) -> CheckBook:
    gatehouse = visit.request.gatehouse
    return CheckBook(database=gatehouse.database, clock=gatehouse.clock, lifecycle=gatehouse.lifecycle)
