"""The TUF repository over HTTP: metadata by name, targets by their hash-prefixed path.

Client workflow of the TUF specification §5: a client asks for the next root until it gets a 404, which is
therefore kept only for seconds, and never 410. Versioned metadata never changes. The timestamp is kept as
short as the 404 is: how long both may be held counts into every key rotation.
"""

from __future__ import annotations

import re

from pyramid.config import Configurator

from gatehouse.core.errors import NotFound
from gatehouse.web.index.files import file_reply
from gatehouse.web.problems import problem_reply
from gatehouse.web.replies import IMMUTABLE, REVALIDATE, Reply, bytes_reply
from gatehouse.web.request import Request

#: How long a cache may hold the timestamp or a 404, in seconds.
SHORT_SECONDS = 5
SHORT = f"public, max-age={SHORT_SECONDS}"

_METADATA_NAME = re.compile(r"(?P<version>[1-9]\d{0,18}\.)?[a-z0-9][a-z0-9_-]{0,99}\.json", re.ASCII)
_HASH_PREFIXED = re.compile(r"(?:.*/)?[0-9a-f]{64}\.[^/]+", re.ASCII)


def includeme(config: Configurator) -> None:
    """Metadata and targets."""
    config.add_resource("tuf-metadata", "/tuf/metadata/{file}", {"GET": metadata})
    config.add_resource("tuf-target", "/tuf/targets/{path:.*}", {"GET": target})


def metadata(request: Request) -> Reply:
    """A metadata file."""
    name = request.matchdict["file"]
    match = _METADATA_NAME.fullmatch(name)
    data = None if match is None else request.gatehouse.metadata_store.read(name)
    if match is None or data is None:
        return problem_reply(request, NotFound("There is no such metadata here."), cache_control=SHORT)
    return bytes_reply(
        request,
        data,
        content_type="application/json",
        cache_control=IMMUTABLE if match["version"] else SHORT,
    )


def target(request: Request) -> Reply:
    """A target: a file or a simple page."""
    path = request.matchdict["path"]
    served = request.gatehouse.shelf.target(path)
    return file_reply(request, served, cache_control=IMMUTABLE if _HASH_PREFIXED.fullmatch(path) else REVALIDATE)
