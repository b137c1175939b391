"""The story of the blobs that nobody names: replaced pages, and what a crash or a refused upload left.

Mark and sweep, as a merge of two sorted streams: what the database names and what lies in the folder. A blob
goes if nothing named it when the sweep began and nobody kept the same bytes for a grace before that. An upload
or a page under way is young, so it is spared; one that keeps an old nameless blob anew makes it young first (see
the folder).

A page that was replaced less than a grace ago is still named: clients in the middle of a session may ask for it
by its hash. What belongs to a file in the catalog stays, whatever its state. The bytes of a *removed* file are
evidence, and a removal can be taken back; an operator who may not hold them sets `keep_removed_files = false`,
and then `Discard` deletes them as soon as the decision is committed, without a grace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from gatehouse.core.clock import Clock
from gatehouse.gate.keep.witness import witnessed
from gatehouse.gate.ports import Database, Message, Transaction
from gatehouse.gate.ports.keeping import KeptBlobs
from gatehouse.gate.trust import Trust
from gatehouse.tuf.ports import MetadataStore

log = structlog.get_logger(__name__)

#: The outbox topic of bytes that may not be kept.
DISCARD = "discard-blob"


@dataclass(frozen=True, kw_only=True, slots=True)
class Swept:
    """What a sweep did, or would do: blobs and their bytes that went, of all that there were."""

    blobs: int = 0
    bytes: int = 0
    seen: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Sweep:
    """Deletes blobs that nothing names. `grace` is how long a blob lies before that counts."""

    database: Database
    blobs: KeptBlobs
    store: MetadataStore
    trust: Trust
    clock: Clock
    grace: timedelta

    def __call__(self, *, dry_run: bool = False, stopping: Callable[[], bool] = lambda: False) -> Swept:
        """Sweep once.

        Args:
            dry_run: only say what would go.
            stopping: asked at each blob; what has gone by then is gone, and the rest goes another time.

        Raises:
            RefusedToClean: the metadata store is not that of this database. A database restored from a backup
                knows nothing of later uploads, and their blobs are all that is left of them.
            StoreError: the folder or the database cannot be read or written.
        """
        witnessed(self.database, self.store, self.trust)
        # Before the marks are read: what is named later was kept later, or was named before.
        old = self.clock.now() - self.grace
        blobs = size = seen = 0
        with self.database.read() as transaction:
            named = transaction.keeping.named_blobs(settled_before=old)
            for sha256, is_named in _compared(self.blobs, named):
                if stopping():
                    break
                seen += 1
                if is_named:
                    continue
                freed = self._freed(sha256, old) if dry_run else self.blobs.remove_old(sha256, older_than=old)
                blobs += freed is not None
                size += freed or 0
        return Swept(blobs=blobs, bytes=size, seen=seen)

    def _freed(self, sha256: str, old: datetime) -> int | None:
        return self.blobs.size(sha256) if self.blobs.is_older(sha256, old) else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Discard:
    """Handles the outbox topic `discard-blob`: deletes the bytes of files that were removed."""

    database: Database
    blobs: KeptBlobs

    def __call__(self, messages: list[Message]) -> None:
        """Delete the bytes that each message names, unless they are wanted after all."""
        for message in messages:
            with self.database.write() as transaction:
                self._discard(transaction, message)
                transaction.outbox.done([message.id])

    def _discard(self, transaction: Transaction, message: Message) -> None:
        sha256 = str(message.payload["sha256"])
        # Whoever restores one of these files waits for its project's lock, and sees then that the bytes are gone.
        for name in transaction.keeping.files_with(sha256):
            transaction.catalog.find_project(name, lock=True)
        if transaction.keeping.is_wanted(sha256):
            return
        # An upload of the same bytes under another name, not yet committed, has kept them since the decision.
        freed = self.blobs.remove_old(sha256, older_than=message.created_at)
        log.info("removed bytes discarded", sha256=sha256, bytes=freed)


def discard(transaction: Transaction, digests: Iterable[str], *, at: datetime) -> None:
    """Have these bytes deleted once the transaction is committed, unless something else names them then."""
    for sha256 in dict.fromkeys(digests):
        transaction.outbox.add(DISCARD, {"sha256": sha256}, at=at)


def _compared(present: Iterable[str], named: Iterator[str]) -> Iterator[tuple[str, bool]]:
    """Each of the present digests, and whether it is among the named; both are sorted."""
    name = next(named, None)
    for sha256 in present:
        while name is not None and name < sha256:
            name = next(named, None)
        yield sha256, name == sha256
