"""The loop that compresses each new snapshot at once, so that no client waits for it.

The snapshot is the largest file that every client fetches after every publication; a bin is compressed when the
first client asks for it. What the loop has not reached yet, a client makes itself. Every server has such a loop,
whichever publishes, and so asks the database and not the publisher.
"""

from __future__ import annotations

import structlog

from gatehouse.gate.bell import Bell
from gatehouse.gate.encode import Encodings
from gatehouse.gate.ports import Coding, Database
from gatehouse.tuf.ports import MetadataStore
from gatehouse.tuf.roles import SNAPSHOT
from gatehouse.worker.loop import Loop

log = structlog.get_logger(__name__)
_SWEEP_SECONDS = 0.2


class EncodingLoop(Loop):
    """Watches for publications."""

    def __init__(self, *, database: Database, store: MetadataStore, encodings: Encodings) -> None:
        super().__init__("compression", Bell())
        self._database = database
        self._store = store
        self._encodings = encodings
        self._done: int | None = None

    def round(self) -> float:
        """Compress the newest snapshot that is published, if that was not done."""
        with self._database.read() as transaction:
            last = transaction.signing.last_publication()
        if last is not None and last.published_at is not None and last.snapshot_version != self._done:
            name = f"{last.snapshot_version}.{SNAPSHOT}.json"
            for coding in Coding:
                self._encodings.get(name, coding, lambda: self._store.read(name))
            self._done = last.snapshot_version
            log.debug("compressed", name=name)
        return _SWEEP_SECONDS
