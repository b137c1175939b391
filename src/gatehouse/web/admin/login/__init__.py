"""`/admin/login` and `/admin/logout`.

Before there is a session, the form's token belongs to a cookie of its own. A log-in always begins a new session,
so that nobody can give a victim one that they know.
"""

from __future__ import annotations

import re
import secrets
from http import HTTPStatus

from pyramid.config import Configurator

from gatehouse.core.errors import NotAllowed, NotAuthenticated
from gatehouse.web.admin.brake import Brake
from gatehouse.web.admin.forms import read_form, require_token
from gatehouse.web.admin.guard import ONWARD, SESSION_COOKIE, Visit, guarded, remote_of, signed_in
from gatehouse.web.admin.pages import page
from gatehouse.web.replies import Reply, redirect
from gatehouse.web.request import Request

LOGIN_COOKIE = "gatehouse_login"
_COOKIE = re.compile(r"[A-Za-z0-9_-]{43}")


def includeme(config: Configurator) -> None:
    """The log-in and the log-out."""
    brake = Brake()

    def log_in(request: Request) -> Reply:
        return _log_in(request, brake)

    config.add_resource("admin-login", "/admin/login", {"GET": guarded(_form), "POST": guarded(log_in)})
    config.add_resource("admin-logout", "/admin/logout", {"POST": signed_in(_log_out)})


def set_cookie(request: Request, reply: Reply, name: str, value: str, *, path: str) -> None:
    """Set a cookie that no script reads and no other site makes the browser send; it ends with the browser."""
    reply.set_cookie(
        name, value, path=path, httponly=True, samesite="Strict", secure=request.scheme == "https", overwrite=True
    )


def _form(request: Request, *, fault: str = "", name: str = "", onward: str | None = None) -> Reply:
    cookie = request.cookies.get(LOGIN_COOKIE, "")
    if _COOKIE.fullmatch(cookie) is None:
        cookie = secrets.token_urlsafe(32)
    reply = page(
        request,
        "login/login.html",
        status=HTTPStatus.FORBIDDEN if fault else HTTPStatus.OK,
        visit=None,
        token=request.gatehouse.staff.form_token(cookie),
        fault=fault,
        name=name,
        onward=_allowed(request.GET.get("next", "") if onward is None else onward),
    )
    set_cookie(request, reply, LOGIN_COOKIE, cookie, path="/admin/login")
    return reply


def _log_in(request: Request, brake: Brake) -> Reply:
    fields = read_form(request)
    cookie = request.cookies.get(LOGIN_COOKIE, "")
    if _COOKIE.fullmatch(cookie) is None:
        raise NotAllowed("The log-in page was open for too long, or cookies are off: open it again.")
    require_token(fields, request.gatehouse.staff.form_token(cookie))
    name, onward = fields.get("name", ""), _allowed(fields.get("next", ""))
    try:
        with brake.passing():
            session = request.gatehouse.staff.log_in(
                name, fields.get("password", ""), fields.get("code", ""), remote=remote_of(request)
            )
    except NotAuthenticated as error:
        return _form(request, fault=error.message, name=name[:64], onward=onward)
    reply = redirect(onward or "./", status=303)
    set_cookie(request, reply, SESSION_COOKIE, session, path="/admin")
    reply.delete_cookie(LOGIN_COOKIE, path="/admin/login")
    return reply


def _log_out(visit: Visit) -> Reply:
    visit.form()
    visit.request.gatehouse.staff.log_out(visit.session, remote=visit.remote)
    reply = redirect("login", status=303)
    reply.delete_cookie(SESSION_COOKIE, path="/admin")
    return reply


def _allowed(onward: str) -> str:
    return onward if ONWARD.fullmatch(onward) else ""
