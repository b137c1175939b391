"""What is done from time to time, so that an index stays as large as it must be: clean up, sweep, archive.

One process at a time does it, under a lease of its own; that spares work and is not needed to be safe. A part that
fails is logged and keeps no other from its turn: it comes again in an hour, and nothing was half done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from gatehouse.core.clock import Clock
from gatehouse.core.errors import GatehouseError
from gatehouse.gate.keep.archive import Archive
from gatehouse.gate.keep.collect import Collect
from gatehouse.gate.keep.sweep import Sweep
from gatehouse.gate.ports import Database

LEASE = "keeper"
#: After so long a keeper that died no longer keeps others from the work.
LEASE_TIME = timedelta(hours=1)
#: Blobs are compared with everything that names one, which reads whole tables.
SWEEP_EVERY = timedelta(days=1)
log = structlog.get_logger(__name__)


@contextmanager
def alone(database: Database, holder: str, clock: Clock, *, steal: bool = False) -> Iterator[bool]:
    """Be the only keeper while the block runs; whether this is so."""
    with database.write() as transaction:
        lease = transaction.leases.acquire(LEASE, holder, ttl=LEASE_TIME, now=clock.now(), steal=steal)
    try:
        yield lease is not None
    finally:
        if lease is not None:
            with database.write() as transaction:
                transaction.leases.release(lease)


@dataclass(kw_only=True, slots=True)
class Keeper:
    """Does what is due. Not safe for several threads.

    Attributes:
        archive: None where no archives are wanted.
        holder: who this is, for people who read the lease.
    """

    database: Database
    clock: Clock
    holder: str
    collect: Collect
    sweep: Sweep
    archive: Archive | None
    _swept_at: datetime | None = field(default=None, init=False)

    def __call__(self, *, stopping: Callable[[], bool], steal: bool = False) -> None:
        """Do what is due now.

        Args:
            stopping: asked between steps: what has not been done by then is done another time.
            steal: whether this process knows itself the only one, so that a lease of another is void.
        """
        with alone(self.database, self.holder, self.clock, steal=steal) as mine:
            if not mine:
                return
            self._try("clean-up", lambda: self._collect(stopping))
            if self.archive is not None and not stopping():
                self._try("archive", self._archive)
            now = self.clock.now()
            if not stopping() and (self._swept_at is None or now - self._swept_at >= SWEEP_EVERY):
                self._swept_at = now
                self._try("sweep", lambda: self._sweep(stopping))

    def _try(self, part: str, work: Callable[[], None]) -> None:
        try:
            work()
        except GatehouseError as error:
            # Clients are served as before; what does not get done here costs room.
            log.error("keeping failed", part=part, reason=error.message, exc_info=error)  # noqa: TRY400 -- ours, with its cause

    def _collect(self, stopping: Callable[[], bool]) -> None:
        done = self.collect(stopping=stopping)
        if done.files:
            log.info("obsolete metadata deleted", files=done.files, bytes=done.bytes, below=done.oldest_kept)

    def _archive(self) -> None:
        if self.archive is not None and self.archive.is_due():
            done = self.archive()
            log.info("metadata archived", name=done.name, files=done.files)

    def _sweep(self, stopping: Callable[[], bool]) -> None:
        done = self.sweep(stopping=stopping)
        if done.blobs:
            log.info("nameless blobs deleted", blobs=done.blobs, bytes=done.bytes, seen=done.seen)
