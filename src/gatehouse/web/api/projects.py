"""What an owner does with a project: yank (PEP 592), delete, set its status (PEP 792)."""

from __future__ import annotations

from pyramid.config import Configurator

from gatehouse.web.api.body import read_object
from gatehouse.web.credentials import authenticate
from gatehouse.web.replies import Reply
from gatehouse.web.request import Request

_PROJECT = "/api/v1/projects/{name}"
_RELEASE = _PROJECT + "/releases/{version}"


def includeme(config: Configurator) -> None:
    """An owner's addresses."""
    config.add_resource("api-project", _PROJECT, {"DELETE": delete_project})
    config.add_resource("api-project-status", _PROJECT + "/status", {"PUT": set_status})
    config.add_resource("api-release", _RELEASE, {"DELETE": delete_release})
    config.add_resource("api-release-yank", _RELEASE + "/yank", {"PUT": yank, "DELETE": unyank})
    config.add_resource("api-file", _RELEASE + "/files/{filename}", {"DELETE": delete_file})


def yank(request: Request) -> Reply:
    """Yank a release."""
    authority = authenticate(request, bearer=True)
    reason = read_object(request, optional=["reason"]).get("reason")
    request.gatehouse.manage.yank(authority, _part(request, "name"), _part(request, "version"), reason)
    return _done()


def unyank(request: Request) -> Reply:
    """Take a yank back."""
    authority = authenticate(request, bearer=True)
    read_object(request)
    request.gatehouse.manage.unyank(authority, _part(request, "name"), _part(request, "version"))
    return _done()


def set_status(request: Request) -> Reply:
    """Set the status marker."""
    authority = authenticate(request, bearer=True)
    body = read_object(request, required=["status"], optional=["reason"])
    request.gatehouse.manage.set_status(authority, _part(request, "name"), str(body["status"]), body.get("reason"))
    return _done()


def delete_file(request: Request) -> Reply:
    """Delete one file."""
    authority = authenticate(request, bearer=True)
    read_object(request)
    request.gatehouse.manage.delete_file(
        authority, _part(request, "name"), _part(request, "version"), _part(request, "filename")
    )
    return _done()


def delete_release(request: Request) -> Reply:
    """Delete all files of a release."""
    authority = authenticate(request, bearer=True)
    read_object(request)
    request.gatehouse.manage.delete_release(authority, _part(request, "name"), _part(request, "version"))
    return _done()


def delete_project(request: Request) -> Reply:
    """Delete all files of a project."""
    authority = authenticate(request, bearer=True)
    read_object(request)
    request.gatehouse.manage.delete_project(authority, _part(request, "name"))
    return _done()


def _part(request: Request, name: str) -> str:
    return request.matchdict[name]


def _done() -> Reply:
    reply = Reply(status=204)
    reply.headers.pop("Content-Type", None)
    reply.headers.pop("Content-Length", None)
    reply.headers["Cache-Control"] = "no-store"
    return reply
