"""`/admin/subjects/<id>`: a subject with its evidence, and the decision on it."""

from __future__ import annotations

from pyramid.config import Configurator

from gatehouse.gate.decide import MAX_REASON
from gatehouse.gate.desk import Desk
from gatehouse.malware.model import Kind
from gatehouse.web.admin.forms import action_of
from gatehouse.web.admin.guard import Visit, signed_in
from gatehouse.web.replies import Reply, redirect

#: How much of a long list of evidence one page shows; what it leaves out it counts.
MAX_SHOWN = 200
_ADDRESS = "/admin/subjects/{id:[0-9]{1,15}}"


def includeme(config: Configurator) -> None:
    """The page and its form."""
    config.add_resource("admin-subject", _ADDRESS, {"GET": signed_in(subject)})
    config.add_resource("admin-decide", f"{_ADDRESS}/decide", {"POST": signed_in(decide)})


def subject(visit: Visit) -> Reply:
    """All that is known of a subject."""
    desk = Desk(database=visit.request.gatehouse.database)
    dossier = desk.dossier(int(visit.request.matchdict["id"]))
    return visit.page("subject/subject.html", dossier=dossier, most=MAX_SHOWN, max_reason=MAX_REASON)


def decide(visit: Visit) -> Reply:
    """Take a decision; back to the subject, which then shows it."""
    fields = visit.form()
    gatehouse = visit.request.gatehouse
    number = visit.request.matchdict["id"]
    subject = Desk(database=gatehouse.database).subject(int(number))
    gatehouse.decide(
        actor=visit.member.name,
        subject=subject,
        action=action_of(fields),
        reason=fields.get("reason", "").replace("\r\n", "\n"),
        remote=visit.remote,
        # A file is pinned by its digest. What belongs to a release or project can change under the person's eyes.
        seen=None if subject.kind is Kind.FILE else fields.get("seen", ""),
    )
    return redirect(f"../{number}", status=303)
