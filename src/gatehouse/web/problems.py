"""The one translation of faults to HTTP: a status, a sentence, and problem+json (RFC 9457).

- The error tree of `core` decides the status; a sentence goes out only where the caller is at fault. Whatever
  is the operator's or our own fault leaves with a generic sentence and an incident id; what happened is logged.
- twine shows the HTTP reason, uv the body: on the upload endpoint the sentence stands in both. A reason is
  printable Latin-1 on one line, so that nothing that a stranger wrote can begin a header (RFC 9112 §4).
- `Basic` is what twine, uv and pip answer to, so 401 asks for it.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from http import HTTPStatus

import structlog
from pyramid.config import Configurator
from pyramid.exceptions import URLDecodeError
from pyramid.httpexceptions import HTTPException
from webob.request import DisconnectionError

from gatehouse.core.errors import (
    CallerError,
    Conflict,
    GatehouseError,
    InvalidUpload,
    LeaseLost,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    OperatorError,
    SettingsError,
    TooLarge,
    TooSlow,
)
from gatehouse.web.metrics import WebMetrics
from gatehouse.web.replies import Reply, UnsatisfiableRange
from gatehouse.web.request import Request

#: The longest sentence in an HTTP reason, in characters; the body has it whole.
MAX_REASON = 240
#: The longest sentence in a body: some name what they refuse.
MAX_DETAIL = 2000
UPLOAD_ROUTES = frozenset({"upload", "upload-bare"})

_log = structlog.get_logger(__name__)


class MethodNotAllowed(CallerError):
    """The address is right and the method is not. `allowed` are the methods that are."""

    code = "method-not-allowed"

    def __init__(self, method: str, allowed: tuple[str, ...]) -> None:
        super().__init__(f"{method[:20]} is not possible here; use {' or '.join(allowed)}.")
        self.allowed = allowed


class NotAcceptable(CallerError):
    """None of the forms that the caller takes is one that we have."""

    code = "not-acceptable"


class Busy(CallerError):
    """Too much is under way; later it will work."""

    code = "busy"


class HeadersTooLarge(CallerError):
    """The request's head is larger than any client of ours needs."""

    code = "headers-too-large"


#: The status of each branch and leaf; a class that is not listed has its parent's.
STATUSES: dict[type[GatehouseError], int] = {
    GatehouseError: 500,
    CallerError: 400,
    InvalidUpload: 400,
    NotAuthenticated: 401,
    NotAllowed: 403,
    NotFound: 404,
    MethodNotAllowed: 405,
    NotAcceptable: 406,
    TooSlow: 408,
    Conflict: 409,
    TooLarge: 413,
    UnsatisfiableRange: 416,
    HeadersTooLarge: 431,
    OperatorError: 503,
    SettingsError: 500,
    LeaseLost: 503,
    Busy: 503,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """A fault as a stranger may see it."""

    status: int
    code: str
    detail: str
    headers: tuple[tuple[str, str], ...] = ()

    def body(self) -> bytes:
        """The problem+json document, ASCII only."""
        document = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        return json.dumps(document).encode("ascii")

    def status_line(self, *, with_sentence: bool) -> str:
        """Status and reason; `with_sentence` puts the detail where the standard phrase would stand."""
        phrase = reason_phrase(self.detail) if with_sentence else HTTPStatus(self.status).phrase
        return f"{self.status} {phrase}"


def reason_phrase(sentence: str) -> str:
    """A sentence as an HTTP reason: printable Latin-1, one line, shortened."""
    text = "".join(_reason_character(character) for character in sentence[: 4 * MAX_REASON])
    text = " ".join(text.split())
    return text if len(text) <= MAX_REASON else text[: MAX_REASON - 3].rstrip() + "..."


def _reason_character(character: str) -> str:
    if character.isspace():
        return " "
    return character if character.isprintable() and ord(character) < 0x100 else "?"  # noqa: PLR2004 - Latin-1


def describe(error: Exception) -> Problem:
    """What a stranger gets to see of an error. What is not the caller's fault is logged under an incident id."""
    match error:
        case CallerError():
            return Problem(
                status=_status(error),
                code=error.code,
                detail=_shortened(error.message),
                headers=_headers(error),
            )
        case HTTPException():
            return _of_framework(error)
        case URLDecodeError() | UnicodeDecodeError():
            return Problem(status=400, code=CallerError.code, detail="The address is not valid UTF-8.")
        case DisconnectionError():
            return Problem(status=400, code=CallerError.code, detail="The request ended before its end.")
    incident = secrets.token_hex(6)
    code = error.code if isinstance(error, GatehouseError) else "internal"
    _log.error("incident", incident=incident, code=code, exc_info=error)
    return Problem(
        status=_status(error) if isinstance(error, GatehouseError) else 500,
        code=code,
        detail=f"The index cannot do this now; the fault is not yours. Its operator finds it as {incident}.",
    )


def problem_reply(request: Request, error: Exception, *, cache_control: str = "no-store") -> Reply:
    """The response for an error, counted in the metrics."""
    problem = describe(error)
    metrics: WebMetrics = request.registry[WebMetrics.KEY]
    metrics.faults.labels(problem.code).inc()
    reply = Reply(problem.body())
    reply.headers["Content-Type"] = "application/problem+json"
    reply.headers["Cache-Control"] = cache_control
    reply.headers.extend(problem.headers)
    route = getattr(request, "matched_route", None)
    is_upload = route is not None and route.name in UPLOAD_ROUTES
    if is_upload and isinstance(error, CallerError):
        _log.info("refused", status=problem.status, code=problem.code, reason=problem.detail)
    reply.status = problem.status_line(with_sentence=is_upload)
    return reply


def includeme(config: Configurator) -> None:
    """Answer every exception of every view."""
    config.add_exception_view(_exception_view, context=Exception)


def _exception_view(error: Exception, request: Request) -> Reply:
    return problem_reply(request, error)


def _status(error: GatehouseError) -> int:
    return next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)


def _shortened(sentence: str) -> str:
    return sentence if len(sentence) <= MAX_DETAIL else sentence[: MAX_DETAIL - 1] + "…"


def _headers(error: CallerError) -> tuple[tuple[str, str], ...]:
    match error:
        case NotAuthenticated():
            return (("WWW-Authenticate", 'Basic realm="Gatehouse", charset="UTF-8"'),)
        case MethodNotAllowed():
            return (("Allow", ", ".join(error.allowed)),)
        case UnsatisfiableRange():
            return (("Content-Range", f"bytes */{error.length}"), ("Accept-Ranges", "bytes"))
        case Busy():
            return (("Retry-After", "30"),)
    return ()


def _of_framework(error: HTTPException) -> Problem:
    status = int(error.status_int)
    if status == HTTPStatus.NOT_FOUND:
        return Problem(status=404, code=NotFound.code, detail="There is nothing at this address.")
    return Problem(status=status, code=CallerError.code, detail=f"{HTTPStatus(status).phrase}.")
