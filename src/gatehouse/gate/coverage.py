"""Whether the newest change of a target is published, and waiting until it is: the blocking form of signing.

An answer comes from what is committed, and only a moved timestamp covers: who gets `covered` can begin a client
and finds the target as the answer says, or newer.

Whoever waits holds a thread that others need. So only a share of them may wait; who comes when that is taken is
told to come again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from threading import Event, Lock

from gatehouse.core.errors import CallerError
from gatehouse.core.names import parse_target
from gatehouse.gate.ports import Database, Publication, Transaction
from gatehouse.gate.trust import Trust


class CoverageState(StrEnum):
    """How far the newest change of a path has come."""

    #: Published: the target is what the answer says.
    COVERED = "covered"
    #: Not published yet.
    PENDING = "pending"
    #: No target, and none is on its way.
    ABSENT = "absent"
    #: It can never be published as it stands; the target is what it was before.
    REFUSED = "refused"


class NoRoom(CallerError):
    """As many wait already as may."""

    code = "busy"


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """What is known of a target; a `length` is in bytes.

    Of what is absent or goes, `sha256` and `length` are None. The versions are those that first cover the change,
    and with it all that came before.
    """

    path: str
    state: CoverageState
    sha256: str | None = None
    length: int | None = None
    snapshot_version: int | None = None
    timestamp_version: int | None = None
    publication: int | None = None
    published_at: datetime | None = None


@dataclass(kw_only=True, slots=True)
class Covers:
    """Looks, and waits. Safe for many threads.

    Attributes:
        waiters: how many may wait at once.
        poll: seconds between two looks of one who waits.
        monotonic: a clock that never jumps, in seconds.
    """

    database: Database
    trust: Trust
    waiters: int
    poll: float = 0.05
    monotonic: Callable[[], float] = time.monotonic
    _waiting: int = field(default=0, init=False)
    _lock: Lock = field(default_factory=Lock, init=False)
    _closed: Event = field(default_factory=Event, init=False)

    def look(self, path: str) -> Coverage:
        """What is known now.

        Raises:
            InvalidName: the path is outside the grammar of targets.
        """
        parse_target(path)
        with self.database.read() as transaction:
            covering = transaction.journal.covering(path)
            if covering is None:
                return self._of_import(transaction, path)
        target, publication = covering.entry.change.target, covering.publication
        sha256 = None if target is None else target.sha256
        length = None if target is None else target.length
        if covering.refused is not None:
            return Coverage(path=path, state=CoverageState.REFUSED, sha256=sha256, length=length)
        if publication is None or publication.published_at is None:
            return Coverage(path=path, state=CoverageState.PENDING, sha256=sha256, length=length)
        state = CoverageState.ABSENT if target is None else CoverageState.COVERED
        return _covered(path, state, publication, sha256=sha256, length=length)

    def wait(self, path: str, seconds: float, *, until_there: bool) -> Coverage:
        """What is known when the newest change is published, or when the time is over.

        Args:
            path: a target path.
            seconds: how long to wait at most.
            until_there: whether to wait for a target that is absent, too.

        Raises:
            InvalidName: the path is outside the grammar of targets.
            NoRoom: one would have to wait, and as many wait already as may.
        """
        found = self.look(path)
        if seconds <= 0 or not _is_open(found, until_there=until_there):
            return found
        end = self.monotonic() + seconds
        self._enter()
        try:
            while _is_open(found, until_there=until_there):
                left = end - self.monotonic()
                if left <= 0 or self._closed.wait(min(self.poll, left)):
                    break
                found = self.look(path)
        finally:
            self._leave()
        return found

    def close(self) -> None:
        """Nobody waits any longer: the server ends."""
        self._closed.set()

    def _of_import(self, transaction: Transaction, path: str) -> Coverage:
        """A target that no change made came in bulk; it is covered when its bin has been signed since."""
        ref = self.trust.state(transaction).layout.bin_of(path)
        target = transaction.signing.find_target(path, ref)
        if target is None:
            return Coverage(path=path, state=CoverageState.ABSENT)
        publication = transaction.signing.last_publication()
        unsigned = publication is None or publication.published_at is None
        if publication is None or unsigned or transaction.signing.dirty_marks([ref]):
            return Coverage(path=path, state=CoverageState.PENDING, sha256=target.sha256, length=target.length)
        return _covered(path, CoverageState.COVERED, publication, sha256=target.sha256, length=target.length)

    def _enter(self) -> None:
        with self._lock:
            if self._waiting >= self.waiters:
                raise NoRoom("Too many wait for a publication already; ask again in a moment, or without waiting.")
            self._waiting += 1

    def _leave(self) -> None:
        with self._lock:
            self._waiting -= 1


def _is_open(found: Coverage, *, until_there: bool) -> bool:
    absent = found.state is CoverageState.ABSENT
    return found.state is CoverageState.PENDING or (absent and until_there)


def _covered(
    path: str, state: CoverageState, publication: Publication, *, sha256: str | None, length: int | None
) -> Coverage:
    return Coverage(
        path=path,
        state=state,
        sha256=sha256,
        length=length,
        snapshot_version=publication.snapshot_version,
        timestamp_version=publication.timestamp_version,
        publication=publication.id,
        published_at=publication.published_at,
    )
