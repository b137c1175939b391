"""What caches in front learn of an answer: which keys name it, and how long they may hold it themselves.

Headers for caches alone, which strip them; `Cache-Control` says to clients what it says without any cache. They
are sent where the settings name a cache that is told of changes (`gate.purge`): without that, a cache that held a
page would hold an old one.

- The keys, in the header that the kind of cache reads: `Surrogate-Key` for Fastly, `xkey` for Varnish.
- `Surrogate-Control: max-age=…` on pages, which clients ask for each time and a purged cache need not. On what
  may not be held it says 0, since not every cache heeds `no-store` or `no-cache`.
"""

from __future__ import annotations

from datetime import timedelta

from gatehouse.web.replies import Reply
from gatehouse.web.request import Request

_KEY_HEADERS = {"fastly": "Surrogate-Key", "varnish": "xkey"}
_CONTROL = "Surrogate-Control"


def keyed(request: Request, reply: Reply, *keys: str, held: bool = False) -> Reply:
    """The reply, named by these keys.

    Args:
        request: what is answered.
        reply: the answer.
        keys: of `gate.purge`.
        held: whether a cache that is told of changes may hold it although clients ask each time.
    """
    settings = request.gatehouse.settings
    if (header := _KEY_HEADERS.get(settings.purge_kind)) is not None:
        reply.headers[header] = " ".join(keys)
        if held:
            reply.headers[_CONTROL] = f"max-age={settings.edge_lifetime // timedelta(seconds=1)}"
    return reply


def finish(request: Request, reply: Reply) -> None:
    """What is not to be held is said to caches in their own words."""
    if request.gatehouse.settings.purge_kind and _CONTROL not in reply.headers:
        stated = reply.headers.get("Cache-Control", "no-store")
        if "no-store" in stated or "no-cache" in stated:
            reply.headers[_CONTROL] = "max-age=0"
