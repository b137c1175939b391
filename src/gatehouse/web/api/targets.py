"""`GET /api/v1/targets/…`: whether a target is covered by signed metadata, and waiting until it is.

Open to all, for it says what the TUF metadata says. Waiting for what is not there at all is for who holds a token:
strangers could hold every place in the waiting room with names that will never be.
"""

from __future__ import annotations

import json
import re
from urllib.parse import parse_qsl

from pyramid.config import Configurator

from gatehouse.core.errors import CallerError
from gatehouse.gate.coverage import Coverage, NoRoom
from gatehouse.web.credentials import authenticate
from gatehouse.web.problems import Busy
from gatehouse.web.replies import Reply
from gatehouse.web.request import Request

#: The longest wait, in seconds: below what proxies and clients give up after.
MAX_WAIT = 30
_WAIT = re.compile(r"\d{1,2}(?:\.\d{1,3})?", re.ASCII)


def includeme(config: Configurator) -> None:
    """One address a target; the path's three parts are those of the grammar."""
    config.add_resource("api-target", "/api/v1/targets/{kind}/{project}/{filename}", {"GET": coverage})


def coverage(request: Request) -> Reply:
    """How far the newest change of a target has come."""
    path = "/".join(request.matchdict[part] for part in ("kind", "project", "filename"))
    seconds = _wait(request)
    known = "Authorization" in request.headers
    if known:
        authenticate(request, bearer=True)
    try:
        found = request.gatehouse.covers.wait(path, seconds, until_there=known)
    except NoRoom as error:
        raise Busy(error.message) from error
    reply = Reply(json.dumps(_document(found)).encode("ascii"))
    reply.headers["Content-Type"] = "application/json"
    reply.headers["Cache-Control"] = "no-store"
    return reply


def _wait(request: Request) -> float:
    try:
        query = parse_qsl(request.query_string, keep_blank_values=True, max_num_fields=20)
    except ValueError as error:
        raise CallerError("The query of this address cannot be read.") from error
    stated = [value for name, value in query if name == "wait"]
    if not stated:
        return 0.0
    if len(stated) > 1 or not _WAIT.fullmatch(stated[0]) or float(stated[0]) > MAX_WAIT:
        raise CallerError(f"'wait' is a number of seconds from 0 to {MAX_WAIT}, once.")
    return float(stated[0])


def _document(found: Coverage) -> dict[str, str | int | None]:
    return {
        "path": found.path,
        "state": found.state.value,
        "sha256": found.sha256,
        "length": found.length,
        "snapshot_version": found.snapshot_version,
        "timestamp_version": found.timestamp_version,
        "publication": found.publication,
        "published_at": None if found.published_at is None else found.published_at.isoformat(),
    }
