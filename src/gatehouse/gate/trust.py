"""The offline metadata as the stories see it: parsed once, read again when a version is added."""

from __future__ import annotations

from threading import Lock

from gatehouse.core.errors import OperatorError
from gatehouse.gate.ports import Transaction
from gatehouse.tuf.trusted import OfflineState


class NotInitialised(OperatorError):
    """There is no trusted root yet."""

    code = "not-initialised"


class Trust:
    """Remembers the parsed offline metadata. Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._marker = (0, 0)
        self._state: OfflineState | None = None

    def state(self, transaction: Transaction) -> OfflineState:
        """The offline metadata as of this transaction.

        Raises:
            NotInitialised: no key ceremony has taken place.
        """
        # Versions are only ever added, so their number and the newest say whether there is anything new.
        marker = transaction.signing.offline_marker()
        if marker == (0, 0):
            raise NotInitialised("This repository has no trusted root yet: run `gatehouse init` first.")
        with self._lock:
            if self._state is None or marker != self._marker:
                self._state = OfflineState.parse(transaction.signing.offline_metadata())
                self._marker = marker
            return self._state
