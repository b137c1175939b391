"""Who gets as far as a screen.

- This machine only, by the peer of the socket; never by a header. A request that a proxy passed on is refused,
  because behind a proxy everybody's peer is this machine. So is a `Host` other than this machine's names: the page
  of a stranger whose name was made to point here (DNS rebinding) sends its own.
- Every POST comes from one of our own pages (`forms`).
- Then, except for the log-in, a session: a cookie that scripts cannot read and other sites cannot make the
  browser send.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Any
from urllib.parse import quote

from gatehouse.core.errors import GatehouseError, NotAllowed, NotAuthenticated
from gatehouse.gate.ports import StaffMember
from gatehouse.web.admin.forms import read_form, require_own_page, require_token
from gatehouse.web.admin.pages import finished, page, up
from gatehouse.web.problems import problem_reply
from gatehouse.web.proxied import is_proxied
from gatehouse.web.replies import Reply, redirect
from gatehouse.web.request import Request, View

SESSION_COOKIE = "gatehouse_session"
#: Where a log-in may lead on to: our own screens, by name.
ONWARD = re.compile(r"subjects/[0-9]{1,15}(/copies)?|decisions|checks(/[a-z0-9-]{1,64})?|audit")
_HOST = re.compile(r"(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?", re.IGNORECASE)
_ELSEWHERE = (
    "The administration answers on its own machine only. Open it there, or through a tunnel: "
    "ssh -L 6458:localhost:6458 MACHINE, then http://localhost:6458/admin/."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Visit:
    """A request of somebody who is logged in. `token` stands in every form of theirs."""

    request: Request
    member: StaffMember
    session: str
    token: str

    @property
    def remote(self) -> str | None:
        """The address that the request came from."""
        return remote_of(self.request)

    def form(self) -> Mapping[str, str]:
        """The fields of the form that was sent.

        Raises:
            NotAllowed: it does not carry this session's token.
            CallerError: it is not a form.
        """
        fields = read_form(self.request)
        require_token(fields, self.token)
        return fields

    def page(self, template: str, **values: Any) -> Reply:  # noqa: ANN401 - a template takes anything
        """A page of a template, with this visit's navigation."""
        return page(self.request, template, visit=self, **values)


def guarded(view: View) -> View:
    """A view that answers on this machine only; its faults are pages."""

    def call(request: Request) -> Reply:
        try:
            require_this_machine(request)
            if request.method == "POST":
                require_own_page(request)
            reply = view(request)
        except GatehouseError as error:
            reply = _fault(request, error)
        return finished(reply)

    return call


def signed_in(view: Callable[[Visit], Reply]) -> View:
    """A guarded view for those who are logged in; others are led to the log-in."""

    def call(request: Request) -> Reply:
        session = request.cookies.get(SESSION_COOKIE, "")
        staff = request.gatehouse.staff
        try:
            member = staff.authenticate(session)
        except NotAuthenticated:
            return redirect(f"{up(request)}admin/login{_onward(request)}", status=303)
        return view(Visit(request=request, member=member, session=session, token=staff.form_token(session)))

    return guarded(call)


def require_this_machine(request: Request) -> None:
    """Refuse whoever does not ask from this machine, without a proxy, by one of its names.

    Raises:
        NotAllowed: they do not.
    """
    environ = request.environ
    if not _is_loopback(environ.get("REMOTE_ADDR", "")) or is_proxied(environ):
        raise NotAllowed(_ELSEWHERE)
    if _HOST.fullmatch(request.headers.get("Host", "")) is None:
        raise NotAllowed("The administration answers to the names localhost, 127.0.0.1 and [::1] only.")


def remote_of(request: Request) -> str | None:
    """The address at the other end of the socket."""
    return request.environ.get("REMOTE_ADDR")


def _is_loopback(address: str) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return parsed.is_loopback


def _onward(request: Request) -> str:
    wanted = request.environ["PATH_INFO"].removeprefix("/admin/")
    return f"?next={quote(wanted, safe='')}" if ONWARD.fullmatch(wanted) else ""


def _fault(request: Request, error: GatehouseError) -> Reply:
    # The one place that decides on status, sentence and metrics; only the form is ours.
    problem = problem_reply(request, error)
    detail = json.loads(problem.body)["detail"]
    reply = page(request, "fault.html", status=problem.status_int, visit=None, detail=detail)
    if "Retry-After" in problem.headers:
        reply.headers["Retry-After"] = problem.headers["Retry-After"]
    return reply
