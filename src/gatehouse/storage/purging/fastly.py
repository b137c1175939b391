"""Fastly, purged by surrogate key: implements `gate.ports.Purger`.

Fastly's API, "Purge multiple surrogate key tags": `POST /service/<id>/purge`, up to 256 keys in `Surrogate-Key`,
with `Fastly-Soft-Purge: 1` to mark as stale what would else be dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gatehouse.core.errors import OperatorError
from gatehouse.gate.purge import is_soft
from gatehouse.storage.purging.calls import Caller, pieces

API = "https://api.fastly.com"


class FastlyPurger:
    """Purges one service."""

    def __init__(self, *, service: str, token: str, address: str = API, soft: bool = False) -> None:
        """Purge a service.

        Args:
            service: its id.
            token: one that may purge by key.
            address: where the API is.
            soft: whether what changed may be handed out once more while it is fetched anew; what left never is.
        """
        self._address = f"{address.rstrip('/')}/service/{service}/purge"
        self._token = token
        self._soft = soft
        self._caller = Caller()

    def purge(self, keys: Sequence[str]) -> None:
        """Purge all that carries one of these keys.

        Raises:
            StoreError: Fastly could not be reached, or refused.
        """
        # What must go is told first.
        self._purge([key for key in keys if not self._softly(key)], soft=False)
        self._purge([key for key in keys if self._softly(key)], soft=True)

    def _softly(self, key: str) -> bool:
        return self._soft and is_soft(key)

    def _purge(self, keys: Sequence[str], *, soft: bool) -> None:
        headers = {"Fastly-Key": self._token, "Accept": "application/json"}
        if soft:
            headers["Fastly-Soft-Purge"] = "1"
        for piece in pieces(keys):
            self._caller.call("POST", self._address, headers | {"Surrogate-Key": piece}, whom="Fastly")


def read_token(path: Path) -> str:
    """The token in a file.

    Raises:
        OperatorError: it cannot be read, others than its owner can read it, or it holds no token.
    """
    try:
        token = path.read_text(encoding="ascii").strip()
        mode = path.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"Cannot read the purge token {path}: {error}.") from error
    if mode & 0o077:
        raise OperatorError(f"Others can read the purge token {path}: run `chmod 600` on it.")
    if not token.isprintable() or not token or " " in token:
        raise OperatorError(f"The file {path} does not hold one token on one line.")
    return token
