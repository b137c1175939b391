"""What the adapters share: one request with limits on everything, and keys in pieces that a header holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import urllib3

from gatehouse.core.errors import StoreError

#: How many keys a request names at most (Fastly's limit), and how many bytes they take. Varnish reads a header of
#: 8 KiB unless it is told otherwise.
MOST_KEYS = 256
MOST_BYTES = 4000
_TIMEOUT = urllib3.Timeout(connect=3.0, read=7.0)


class Caller:
    """Makes requests: no redirect is followed, and nothing is tried twice, which is the outbox's affair."""

    def __init__(self) -> None:
        self._pool = urllib3.PoolManager(retries=False, timeout=_TIMEOUT, headers={"User-Agent": "gatehouse"})

    def call(self, method: str, address: str, headers: Mapping[str, str], *, whom: str) -> None:
        """Make one request; an answer below 300 is success.

        Raises:
            StoreError: nobody answered, or with a refusal. It names whom and no header, which may be a secret.
        """
        try:
            response = self._pool.request(method, address, headers=dict(headers), redirect=False)
        except urllib3.exceptions.HTTPError as error:
            raise StoreError(f"{whom} cannot be told of changes: {type(error).__name__}.") from error
        if response.status >= 300:  # noqa: PLR2004 -- beyond success
            raise StoreError(f"{whom} refuses to purge: it answers {response.status}.")


def pieces(keys: Sequence[str]) -> Iterator[str]:
    """The keys, each once, with spaces between, in pieces that fit into a header."""
    piece: list[str] = []
    size = 0
    for key in dict.fromkeys(keys):
        if piece and (len(piece) == MOST_KEYS or size + len(key) + 1 > MOST_BYTES):
            yield " ".join(piece)
            piece, size = [], 0
        piece.append(key)
        size += len(key) + 1
    if piece:
        yield " ".join(piece)
