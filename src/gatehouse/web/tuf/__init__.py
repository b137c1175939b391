"""The TUF repository over HTTP: metadata by name, targets by their hash-prefixed path.

Client workflow of the TUF specification §5: a client asks for the next root until it gets a 404, which is
therefore kept only for seconds, and never 410. Versioned metadata never changes. The timestamp is kept as
short as the 404 is: how long both may be held counts into every key rotation.

No other 404 is kept at all: a stranger who asks for the next snapshot a moment before it is there would leave
its absence in a cache, for all who come with the timestamp that names it.
"""

from __future__ import annotations

import re

from pyramid.config import Configurator

from gatehouse.core.errors import NotFound
from gatehouse.core.names import parse_target
from gatehouse.gate.purge import METADATA_KEY, ROOT_KEY, TIMESTAMP_KEY, files_key, project_key
from gatehouse.web.compressed import negotiated_reply, page_reply
from gatehouse.web.index.files import file_reply
from gatehouse.web.problems import problem_reply
from gatehouse.web.replies import IMMUTABLE, REVALIDATE, Reply, bytes_reply
from gatehouse.web.request import Request
from gatehouse.web.surrogates import keyed

#: How long a cache may hold the timestamp or the 404 of the next root, in seconds.
SHORT_SECONDS = 5
SHORT = f"public, max-age={SHORT_SECONDS}"

_JSON = "application/json"
_TIMESTAMP = "timestamp.json"
_VERSIONED = re.compile(r"[1-9]\d{0,18}\.[a-z0-9][a-z0-9_-]{0,99}\.json", re.ASCII)
_ROOT = re.compile(r"[1-9]\d{0,18}\.root\.json", re.ASCII)
_HASH_PREFIXED = re.compile(r"(?P<folder>.*/)[0-9a-f]{64}\.(?P<name>[^/]+)", re.ASCII)


def includeme(config: Configurator) -> None:
    """Metadata and targets."""
    config.add_resource("tuf-metadata", "/tuf/metadata/{file}", {"GET": metadata})
    config.add_resource("tuf-target", "/tuf/targets/{path:.*}", {"GET": target})


def metadata(request: Request) -> Reply:
    """A metadata file."""
    name = request.matchdict["file"]
    is_root = _ROOT.fullmatch(name) is not None
    key = ROOT_KEY if is_root else TIMESTAMP_KEY if name == _TIMESTAMP else METADATA_KEY
    if _VERSIONED.fullmatch(name):
        reply = _versioned(request, name)
    else:
        reply = _read(request, name, SHORT) if name == _TIMESTAMP else None
    if reply is None:
        missing = NotFound("There is no such metadata here.")
        reply = problem_reply(request, missing, cache_control=SHORT if is_root else "no-store")
    return keyed(request, reply, key)


def target(request: Request) -> Reply:
    """A target: a file or a simple page."""
    path = request.matchdict["path"]
    served = request.gatehouse.shelf.target(path)
    hashed = _HASH_PREFIXED.fullmatch(path)
    cache_control = REVALIDATE if hashed is None else IMMUTABLE
    if served is None:
        return file_reply(request, served, cache_control=cache_control)
    name = parse_target(path if hashed is None else hashed["folder"] + hashed["name"])
    if name.kind == "file":
        reply = file_reply(request, served, cache_control=cache_control)
        return keyed(request, reply, files_key(name.project))
    reply = page_reply(
        request,
        sha256=served.sha256,
        length=served.length,
        content_type="application/octet-stream",
        cache_control=cache_control,
    )
    # By its digest a page never changes: only its project's going must be told.
    return keyed(request, reply, project_key(name.project) if hashed is None else files_key(name.project))


def _versioned(request: Request, name: str) -> Reply | None:
    gatehouse = request.gatehouse
    return negotiated_reply(
        request,
        gatehouse.metadata_encodings,
        name,
        lambda: gatehouse.metadata_store.read(name),
        plain=lambda: _read(request, name, IMMUTABLE),
        content_type=_JSON,
        cache_control=IMMUTABLE,
    )


def _read(request: Request, name: str, cache_control: str) -> Reply | None:
    data = request.gatehouse.metadata_store.read(name)
    if data is None:
        return None
    return bytes_reply(request, data, content_type=_JSON, cache_control=cache_control)
