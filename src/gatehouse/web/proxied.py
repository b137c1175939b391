"""Whether a proxy passed a request on. Only its presence is believed, never what it says about who asks.

The server drops the headers by which a proxy speaks (`X-Forwarded-…`, `Forwarded`); that there were any is noted
before that, for what answers to this machine alone: behind a proxy, every peer is this machine.
"""

from __future__ import annotations

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_KEY = "gatehouse.proxied"
#: Headers that proxies and content networks add, and no browser does.
HEADERS = (
    "Forwarded",
    "Via",
    "X-Forwarded",
    "X-Forwarded-By",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Proto",
    "X-Forwarded-Server",
    "X-Original-Host",
    "X-Real-IP",
    "X-Client-IP",
    "True-Client-IP",
    "CF-Connecting-IP",
    "Client-IP",
)
_IN_ENVIRON = tuple("HTTP_" + header.upper().replace("-", "_") for header in HEADERS)


def noting_proxies(app: WSGIApplication) -> WSGIApplication:
    """The application, with a note in the environment of each request that a proxy passed on."""

    def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ[_KEY] = is_proxied(environ)
        return app(environ, start_response)

    return call


def is_proxied(environ: WSGIEnvironment) -> bool:
    """Whether a proxy shows in a request: by a header of its own, or by HTTP/1.0, which browsers do not speak."""
    if environ.get(_KEY) or environ.get("SERVER_PROTOCOL") == "HTTP/1.0":
        return True
    return any(name in environ for name in _IN_ENVIRON)
