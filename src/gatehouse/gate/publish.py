"""The story of a publication: what the journal holds becomes signed metadata, and the timestamp moves last.

One publisher at a time, under a fenced lease, in the order that a crash forgives (PEP 458, "Producing
Consistent Snapshots"; the TUF specification, "Consistent snapshots"):

1. choose what is pending and due, make the bins from their files, sign, verify what changed, and now and then let
   a client judge: nothing has a name yet, though the disk may have begun with the bins;
2. commit versions, expiries, epoch and signature bytes;
3. create bins, then the snapshot; nothing is ever overwritten;
4. read back what was stored and compare it with what was verified and committed;
5. move the timestamp by compare-and-swap;
6. mark the publication as published, and serve the pages that it signed.

A publication that was committed is rolled forward, never back: its bytes can be rendered again, and a version is
never signed twice with different content. Before there is a snapshot, bins that do not fit into one publication
are published in chunks: steps 1 to 4 and the mark, for bins alone. Whatever goes wrong, the publisher forgets what
it remembered and begins again from the database.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock

import structlog

from gatehouse.core.clock import Clock
from gatehouse.core.errors import InternalError, OperatorError, StoreError
from gatehouse.gate.ports import PUBLISHER_LEASE, Database, JournalEntry, Lease, Publication
from gatehouse.gate.publishing.carrying import Carrier, OvertakenError
from gatehouse.gate.publishing.changes import Selection, refuse_faulty
from gatehouse.gate.publishing.judge import Judge
from gatehouse.gate.publishing.making import Made, Maker
from gatehouse.gate.publishing.recover import TIMESTAMP_FILE, Recovery
from gatehouse.gate.publishing.rehearsal import rehearse_draft
from gatehouse.gate.publishing.state import PublisherState
from gatehouse.gate.publishing.warming import warming
from gatehouse.gate.purge import Purges
from gatehouse.gate.trust import Trust
from gatehouse.tuf.canonical import whole_second
from gatehouse.tuf.model import BinRef
from gatehouse.tuf.plan import Draft, OnlineSigners, Plan
from gatehouse.tuf.ports import MetadataStore
from gatehouse.tuf.rehearse import RehearsalFailed
from gatehouse.tuf.roles import RENEW_AT, SNAPSHOT, Lifetimes

LEASE = PUBLISHER_LEASE
log = structlog.get_logger(__name__)

#: How many bins that are due ride along with other changes.
_RIDERS = 64
#: How far the clock may go back before nothing is signed any more.
_CLOCK_PLAY = timedelta(minutes=1)
#: How long a bin whose changes failed their rehearsal is left out.
_HOLD_BACK = timedelta(minutes=10)
#: How many bins to think of where bytes set the limit.
_MANY = 5_000


@dataclass(kw_only=True, slots=True)
class Publisher:
    """Turns the journal into publications. One process has one, and at most one works.

    Not safe for several threads, but for `keep_lease`, which a heartbeat may call at any time.

    Attributes:
        batch: the most target changes to put into one publication.
        batch_bytes: the most bytes of bins to sign in one publication; memory holds them.
        threads: how many make bins at once, where the key is at hand.
        root_grace: how long a cache may deny that there is a newer root: until then older ones must agree.
        judge: python-tuf's client, for a sample.
        holder: who this is, for people who read the lease.
        clock_is_right: whether to sign although the newest publication is of a later moment: a person says that
            the clock ran ahead then.
    """

    database: Database
    store: MetadataStore
    trust: Trust
    signers: OnlineSigners
    lifetimes: Lifetimes
    clock: Clock
    holder: str
    lease_time: timedelta
    purges: Purges = field(default_factory=Purges)
    judge: Judge = field(default_factory=Judge)
    batch: int = 2000
    batch_bytes: int = 256 * 1024**2
    threads: int = 2
    root_grace: timedelta = timedelta(hours=1)
    clock_is_right: bool = False
    _lease: Lease | None = field(default=None, init=False)
    _lease_lock: Lock = field(default_factory=Lock, init=False)
    _state: PublisherState | None = field(default=None, init=False)
    _held_back: dict[BinRef, datetime] = field(default_factory=dict, init=False)

    # --- taking over ---------------------------------------------------------------------------------------------

    def start(self, *, steal: bool = False) -> bool:
        """Become the publisher: take the lease, fence the store, and finish what a predecessor left.

        Args:
            steal: take the lease even where another seems to hold it; its epoch ends, so it can do no harm.

        Returns:
            False if another publisher is at work.

        Raises:
            StoreError: the store does not keep its promises, or is ahead of the database.
        """
        with self._lease_lock, self.database.write() as transaction:
            self._lease = transaction.leases.acquire(
                LEASE, self.holder, ttl=self.lease_time, now=self.clock.now(), steal=steal
            )
        if self._lease is None:
            return False
        # From here on the predecessor's timestamp write is refused, whatever it believes of its lease.
        try:
            self.store.fence(self._lease.epoch)
            self.store.probe()
            self._state = self._load()
        except Exception:
            # Another may be able to do what this one is not.
            self.stop()
            raise
        return True

    def stop(self) -> None:
        """Give the lease back."""
        with self._lease_lock:
            if self._lease is not None:
                with self.database.write() as transaction:
                    transaction.leases.release(self._lease)
        self.forget()

    def forget(self) -> None:
        """Drop a lease that another has taken, and what was remembered under it."""
        self._lease = None
        self._state = None

    @property
    def at_work(self) -> bool:
        """Whether this one holds the lease, as far as it knows."""
        return self._lease is not None

    def keep_lease(self) -> None:
        """Renew the lease when half of it is gone. May be called by another thread while this one publishes.

        Raises:
            LeaseLost: another has it.
        """
        with self._lease_lock:
            lease, now = self._lease, self.clock.now()
            if lease is not None and lease.expires_at - now < self.lease_time / 2:
                with self.database.write() as transaction:
                    self._lease = transaction.leases.renew(lease, ttl=self.lease_time, now=now)

    # --- publishing ----------------------------------------------------------------------------------------------

    def publish(self, *, renew_all: bool = False) -> Publication | None:
        """Publish what is pending and renew what is due, as much as fits into one publication.

        Args:
            renew_all: sign every online role anew, due or not; what does not fit follows in the next ones.

        Returns:
            The publication, or None if there was nothing to do.

        Raises:
            LeaseLost: another publisher took over; nothing more is written.
            OperatorError: a key, the store, the database or the clock must be mended first.
            InternalError: the changes cannot be published; what is due has been renewed without them.
        """
        try:
            return self._attempt(limit=self.batch, renew_all=renew_all)
        except InternalError as error:
            self._hold_back(error)
            # Whatever is wrong with the changes must not let the timestamp expire for everybody. Nothing of them
            # was committed, or this finds a publication to recover.
            self._attempt(limit=0, renew_all=renew_all)
            raise

    def next_due(self) -> datetime:
        """When something must be renewed, if nothing changes until then."""
        now = self.clock.now()
        return now if self._state is None else self._state.committed.next_due(self.lifetimes, now)

    def _attempt(self, *, limit: int, renew_all: bool) -> Publication | None:
        try:
            return self._publish(limit=limit, renew_all=renew_all)
        except OvertakenError:
            # An import writes into the very bins of the first snapshot; nothing was committed, so try again later.
            return None
        except BaseException:
            # What is remembered may no longer be what is committed.
            self._state = None
            raise

    def _publish(self, *, limit: int, renew_all: bool) -> Publication | None:
        self._held()
        state = self._state = self._state or self._load()
        now = self.clock.now()
        if not self.clock_is_right:
            _refuse_clock_behind(state.last_commit, now)
        with self.database.read() as transaction:
            pending = transaction.journal.pending(limit=limit)
            # What an import brought never makes an upload wait for long.
            dirty = list(transaction.signing.dirty_bins(limit=_RIDERS if pending else _MANY))
            state.refresh(transaction, self.trust)
        layout = state.committed.offline.layout
        good, faults = refuse_faulty(pending, layout)
        if faults:
            self._refuse(faults, now)
        held_back, ended = self._still_held_back(now), state.committed.ended_families(now)
        # What lies below ended metadata waits for the key holders; the rest does not.
        entries = [entry for entry in good if entry.bin not in held_back and entry.bin.family not in ended]
        dirty = [ref for ref in dirty if ref not in held_back and ref.family not in ended]
        if renew_all:
            state.to_renew = set(layout.refs())
        plan = Plan(
            committed=state.committed, signers=self.signers, lifetimes=self.lifetimes, now=whole_second(now)
        )
        if state.committed.missing:
            return self._first(plan, state, now)
        try:
            return self._next(plan, state, entries, dirty, now, renew_all=renew_all)
        except OvertakenError:
            # An import is under way; what is rendered from the database can wait for its end.
            return self._next(plan, state, entries, [], now, renew_all=renew_all)

    def _first(self, plan: Plan, state: PublisherState, now: datetime) -> Publication | None:
        """Publish bins that were never signed: a chunk of them, or the last with the first snapshot."""
        plan.refuse_if_ended()
        with self._maker(plan, state) as maker:
            made = maker.render(plan.committed.missing, {}, room=self.batch_bytes)
            if len(made.bins) < len(plan.committed.missing):
                draft = Draft(bins=tuple(made.bins), snapshot=None, timestamp=None)
                return self._carry_out(draft, made, [], state, now=now, reason="bins of the first snapshot")
            return self._carry_out(plan.finish(made.bins), made, [], state, now=now, reason="roles are missing")

    def _next(
        self,
        plan: Plan,
        state: PublisherState,
        entries: Sequence[JournalEntry],
        dirty: Sequence[BinRef],
        now: datetime,
        *,
        renew_all: bool,
    ) -> Publication | None:
        """Publish changes, bins that were loaded or are due, and whatever follows from them."""
        committed = plan.committed
        due = committed.needs_publication(self.lifetimes, now)
        selection = Selection(committed=committed, limit=self.batch_bytes)
        selection.take_changes(entries)
        if due is not None:
            plan.refuse_if_ended()
            selection.take_bins(committed.bins_due(self.lifetimes, now, limit=_MANY, fraction=RENEW_AT))
        selection.render(dirty)
        selection.take_bins(sorted(state.to_renew))
        reason = "changes" if selection.entries else "renew-all" if state.to_renew else due
        reason = reason or ("targets were loaded" if dirty else None)
        if reason is None:
            return None
        plan.refuse_if_ended()
        if selection.bins or reason != "the timestamp is due":
            selection.take_bins(committed.bins_due(self.lifetimes, now, limit=_RIDERS))
        with self._maker(plan, state) as maker:
            with warming(self.database, selection.entries):
                made = maker.make(selection)
            draft = plan.finish(made.bins, new_snapshot=renew_all)
            return self._carry_out(draft, made, selection.entries, state, now=now, reason=reason)

    # --- the steps -----------------------------------------------------------------------------------------------

    @contextmanager
    def _maker(self, plan: Plan, state: PublisherState) -> Iterator[Maker]:
        """What makes bins, and has the store write them ahead until the publication is carried out."""
        with self.store.staging() as stage:
            yield Maker(
                database=self.database, store=self.store, state=state, plan=plan, threads=self.threads, stage=stage
            )

    def _carry_out(
        self,
        draft: Draft,
        made: Made,
        entries: Sequence[JournalEntry],
        state: PublisherState,
        *,
        now: datetime,
        reason: str,
    ) -> Publication:
        """Rehearse a draft, publish it, and remember what it changed."""
        rehearse_draft(draft, state, entries, judge=self.judge, root_grace=self.root_grace, now=whole_second(now))
        publication = self._carrier().carry_out(draft, made, state, entries, reason=reason, now=now)
        state.committed.apply(item.role for item in draft.signed)
        state.to_renew.difference_update(made.refs)
        state.last_commit = now
        if draft.timestamp is not None:
            snapshot = state.served_snapshot() if draft.snapshot is None else draft.snapshot.data
            state.served = (draft.timestamp.data, snapshot)
        return publication

    # --- what is remembered --------------------------------------------------------------------------------------

    def _load(self) -> PublisherState:
        """Finish what is unfinished, then read everything."""
        recovery = Recovery(database=self.database, store=self.store, trust=self.trust)
        unfinished = recovery.refill()
        if unfinished is not None:
            self._carrier().make_visible(unfinished)
        with self.database.read() as transaction:
            state = PublisherState.load(transaction, self.trust)
        committed = state.committed
        if committed.timestamp is not None and committed.snapshot is not None:
            timestamp = self.store.read(TIMESTAMP_FILE)
            snapshot = self.store.read(f"{committed.snapshot.version}.{SNAPSHOT}.json")
            if timestamp is None or snapshot is None:
                raise StoreError("The metadata store has lost the snapshot that its timestamp names.")
            state.served = (timestamp, snapshot)
        return state

    def _carrier(self) -> Carrier:
        return Carrier(
            database=self.database,
            store=self.store,
            clock=self.clock,
            purges=self.purges,
            lease=self._held(),
            threads=self.threads,
        )

    def _held(self) -> Lease:
        if self._lease is None:
            raise InternalError("This publisher holds no lease.")
        return self._lease

    def _refuse(self, faults: Mapping[int, str], now: datetime) -> None:
        """Set changes aside that can never be published, so that they keep no other waiting."""
        with self.database.write() as transaction:
            transaction.leases.check(self._held())
            transaction.journal.refuse(faults, at=now)
        for number, fault in faults.items():
            log.error("change refused", journal_entry=number, fault=fault)

    def _hold_back(self, error: InternalError) -> None:
        """Leave out for a while what failed in one bin, so that the other changes go on."""
        if isinstance(error, RehearsalFailed) and self.at_work:
            with self.database.read() as transaction:
                ref = self.trust.state(transaction).layout.parse_role(error.role)
            if ref is not None:
                self._held_back[ref] = self.clock.now() + _HOLD_BACK

    def _still_held_back(self, now: datetime) -> set[BinRef]:
        self._held_back = {ref: until for ref, until in self._held_back.items() if until > now}
        return set(self._held_back)


def _refuse_clock_behind(last_commit: datetime | None, now: datetime) -> None:
    if last_commit is not None and now < last_commit - _CLOCK_PLAY:
        raise OperatorError(
            f"The clock says {now:%Y-%m-%d %H:%M:%S} UTC, but the newest publication is of "
            f"{last_commit:%Y-%m-%d %H:%M:%S} UTC: set it right. Until then nothing is signed, it would end "
            "earlier than what clients hold. If the clock ran ahead then and is right now, stop every server and "
            "run `gatehouse tuf renew --clock-is-right`."
        )
