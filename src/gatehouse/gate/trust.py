"""The offline metadata as the stories see it: parsed once, read again when a version is added."""

from __future__ import annotations

from threading import Lock

from gatehouse.core.errors import OperatorError
from gatehouse.gate.ports import Transaction
from gatehouse.tuf.model import OfflineMetadata
from gatehouse.tuf.trusted import OfflineState


class NotInitialised(OperatorError):
    """There is no trusted root yet."""

    code = "not-initialised"


class Trust:
    """Remembers the parsed offline metadata. Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._items: list[OfflineMetadata] = []
        self._state: OfflineState | None = None

    def state(self, transaction: Transaction) -> OfflineState:
        """The offline metadata as of this transaction.

        Raises:
            NotInitialised: no key ceremony has taken place.
        """
        items = transaction.signing.offline_metadata()
        if not items:
            raise NotInitialised("This repository has no trusted root yet: run `gatehouse init` first.")
        # Superseded versions take part in the comparison only; parsing judges what is newest.
        with self._lock:
            if self._state is None or items != self._items:
                self._state = OfflineState.parse(items)
                self._items = items
            return self._state
