"""New bins, made and verified: the old file read and proved, spliced, signed, and compared with the old again.

Hashing, signing and verifying let other threads run, so bins are made by a few threads; what they share does not
change meanwhile. A bin whose file the store has lost or altered is rendered from the database instead, aloud.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import structlog
from securesystemslib.signer import CryptoSigner

from gatehouse.gate.ports import Database
from gatehouse.gate.publishing.changes import Selection
from gatehouse.gate.publishing.state import PublisherState
from gatehouse.tuf.model import BinRef, Target, TargetColumns
from gatehouse.tuf.plan import Plan, SignedRole, filename
from gatehouse.tuf.ports import MetadataStore, Stage
from gatehouse.tuf.render import entries_of, is_as_committed
from gatehouse.tuf.splice import body_of, splice
from gatehouse.tuf.verify import verify_bin

log = structlog.get_logger(__name__)
#: Fewer bins are made sooner than threads start.
_WORTH_THREADS = 4
#: So many files the disk may read at once, ahead of the threads: it has a queue of its own.
_AHEAD = 24
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """Bins as made: `refs` says which, `marks` under which mark rendered ones were read (None: there was none)."""

    bins: list[SignedRole]
    marks: dict[BinRef, int | None]
    refs: frozenset[BinRef]


@dataclass(frozen=True, kw_only=True, slots=True)
class Maker:
    """Makes the bins of one publication.

    Attributes:
        stage: takes each file as it is made, so that the disk writes while the next ones are made.
    """

    database: Database
    store: MetadataStore
    state: PublisherState
    plan: Plan
    threads: int
    stage: Stage

    def make(self, selection: Selection) -> Made:
        """Make all bins of a selection.

        Raises:
            RehearsalFailed: one is not what was meant.
            OperatorError: a signer or the store failed.
        """
        spliced = [ref for ref in selection.bins if ref not in selection.rendered]
        bins: list[SignedRole] = []
        lost: list[BinRef] = []
        expected = spliced if len(spliced) < _WORTH_THREADS else ahead(spliced, self._expect, by=_AHEAD)
        for ref, made in self._each(expected, lambda ref: (ref, self._from_file(ref, selection.bins[ref]))):
            if made is None:
                lost.append(ref)
            else:
                bins.append(made)
        if lost:
            names = [self.plan.committed.offline.layout.role_name(ref) for ref in lost[:5]]
            log.warning("rendering bins whose files are missing or altered", bins=len(lost), among_them=names)
        # What was loaded and carries no change may wait: a bin that was empty until now may have become large.
        loaded = {ref for ref in selection.rendered if not selection.bins[ref]}
        needed = self.render({*lost, *selection.rendered} - loaded, selection.bins)
        bins += needed.bins
        room = selection.limit - sum(item.role.length for item in bins)
        # The first always fits, or it would wait for ever.
        more = self.render(loaded if room > 0 or not bins else (), selection.bins, room=room)
        return Made(
            bins=[*bins, *more.bins],
            marks=needed.marks | more.marks,
            refs=(frozenset(selection.bins) - loaded) | more.refs,
        )

    def render(
        self,
        refs: Iterable[BinRef],
        changes: Mapping[BinRef, Mapping[str, Target | None]],
        *,
        room: int | None = None,
    ) -> Made:
        """Make bins from the database.

        Args:
            refs: the bins.
            changes: what changes in them, by path; None: the target is gone.
            room: stop when their files have so many bytes; None: make all.
        """
        wanted = sorted(refs)
        made: list[SignedRole] = []
        marks: dict[BinRef, int | None] = {}
        if not wanted:
            return Made(bins=made, marks=marks, refs=frozenset())
        with self.database.read() as transaction:
            dirty = transaction.signing.dirty_marks(wanted)
            rows = _with_empty(wanted, transaction.signing.target_columns(wanted))
            bodies = ((ref, _body(columns, changes.get(ref, {}))) for ref, columns in rows)
            size = 0
            for ref, signed in self._each(
                bodies, lambda item: (item[0], self._sign(item[0], item[1], None, changes.get(item[0], {})))
            ):
                made.append(signed)
                marks[ref] = dirty.get(ref)
                size += signed.role.length
                if room is not None and size >= room:
                    break
        return Made(bins=made, marks=marks, refs=frozenset(marks))

    def _expect(self, ref: BinRef) -> None:
        role = self.plan.committed.role(self.plan.committed.offline.layout.role_name(ref))
        if role is not None:
            self.store.expect(filename(role))

    def _from_file(self, ref: BinRef, changes: Mapping[str, Target | None]) -> SignedRole | None:
        """Make a bin from its file; None if the store does not hold that as it was committed."""
        role = self.plan.committed.role(self.plan.committed.offline.layout.role_name(ref))
        before = None if role is None else self.store.read(filename(role))
        if role is None or before is None or not is_as_committed(role, before):
            return None
        body = body_of(before)
        return self._sign(ref, splice(body, changes) if changes else body, before, changes)

    def _sign(
        self, ref: BinRef, body: bytes, before: bytes | None, changes: Mapping[str, Target | None]
    ) -> SignedRole:
        committed = self.plan.committed
        signed = self.plan.bin(ref, body)
        previous = committed.role(signed.role.name)
        verify_bin(
            signed.data,
            role=signed.role,
            layout=committed.offline.layout,
            ref=ref,
            authorities=(self.state.over_bins[ref.family],),
            previous=None if previous is None else (previous, before),
            expected=changes,
            now=self.plan.now,
        )
        self.stage(signed.filename, signed.data)
        return signed

    def _each(self, items: Iterable[T], function: Callable[[T], R]) -> Iterator[R]:
        # A hardware token or a key service may not bear several threads.
        local = isinstance(self.plan.signers.bins, CryptoSigner)
        few = isinstance(items, Sized) and len(items) < _WORTH_THREADS
        return in_threads(items, function, threads=self.threads if local and not few else 1)


def in_threads(items: Iterable[T], function: Callable[[T], R], *, threads: int) -> Iterator[R]:
    """What a function makes of each item, in order, made by several threads a few items ahead.

    The items themselves are drawn by the calling thread, so they may come from its database connection.
    """
    if threads < 2:  # noqa: PLR2004 one thread is this one
        yield from map(function, items)
        return
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="publisher") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > 4 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def ahead(items: Iterable[T], tell: Callable[[T], None], *, by: int) -> Iterator[T]:
    """The items in order; each was told of when `by` others were still to come before it."""
    waiting: deque[T] = deque()
    for item in items:
        tell(item)
        waiting.append(item)
        if len(waiting) > by:
            yield waiting.popleft()
    yield from waiting


def _body(columns: TargetColumns | None, changes: Mapping[str, Target | None]) -> bytes:
    body = b"" if columns is None else entries_of(columns)
    return splice(body, changes) if changes else body


def _with_empty(wanted: list[BinRef], found: Iterable[tuple[BinRef, T]]) -> Iterator[tuple[BinRef, T | None]]:
    """Every wanted bin in order, those of which nothing was found too."""
    rest = iter(wanted)
    for ref, item in found:
        for each in rest:
            if each == ref:
                yield ref, item
                break
            yield each, None
    for each in rest:
        yield each, None
