"""The story of a publication: what the journal holds becomes signed metadata, and the timestamp moves last.

One publisher at a time, under a fenced lease, in the order that a crash forgives (PEP 458, "Producing
Consistent Snapshots"; the TUF specification, "Consistent snapshots"):

1. read what is pending, plan, sign, and rehearse as a client would: nothing is written yet;
2. commit versions, expiries, epoch and signature bytes;
3. create bins, then the snapshot; nothing is ever overwritten;
4. read back what was stored and compare it with what was rehearsed and committed;
5. move the timestamp by compare-and-swap;
6. mark the publication as published, and serve the pages that it signed.

A publication that was committed is rolled forward, never back: its bytes can be rendered again from the
database, and a version is never signed twice with different content.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from tuf.api.metadata import Metadata, Timestamp
from tuf.api.serialization import DeserializationError

from gatehouse.catalog.model import ServedPage
from gatehouse.core.clock import Clock
from gatehouse.core.digests import sha256_hex
from gatehouse.core.errors import InternalError, StoreError
from gatehouse.core.names import PageFormat, parse_target
from gatehouse.gate.ports import Database, JournalEntry, Lease, Publication, Transaction
from gatehouse.gate.trust import Trust
from gatehouse.tuf.model import BinRef, OnlineRole, Target
from gatehouse.tuf.plan import (
    Draft,
    OnlineSigners,
    bins_due,
    needs_publication,
    next_due,
    plan,
    render_bin_again,
    render_snapshot_again,
    render_timestamp_again,
    snapshot_lengths,
    snapshot_versions,
)
from gatehouse.tuf.ports import MetadataStore
from gatehouse.tuf.rehearse import rehearse
from gatehouse.tuf.roles import SNAPSHOT, TIMESTAMP, Lifetimes
from gatehouse.tuf.trusted import OfflineState

LEASE = "publisher"
TIMESTAMP_FILE = f"{TIMESTAMP}.json"
log = structlog.get_logger(__name__)


@dataclass(kw_only=True, slots=True)
class Publisher:
    """Turns the journal into publications. Not safe for several threads; one process has one, at most one works.

    Attributes:
        batch: the most target changes to put into one publication.
        holder: who this is, for people who read the lease.
    """

    database: Database
    store: MetadataStore
    trust: Trust
    signers: OnlineSigners
    lifetimes: Lifetimes
    clock: Clock
    holder: str
    lease_time: timedelta
    batch: int = 2000
    _lease: Lease | None = field(default=None, init=False)

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
        with self.database.write() as transaction:
            lease = transaction.leases.acquire(
                LEASE, self.holder, ttl=self.lease_time, now=self.clock.now(), steal=steal
            )
        if lease is None:
            return False
        # From here on the predecessor's timestamp write is refused, whatever it believes of its lease.
        self.store.fence(lease.epoch)
        self.store.probe()
        self._lease = lease
        self._recover()
        return True

    def stop(self) -> None:
        """Give the lease back."""
        if self._lease is not None:
            with self.database.write() as transaction:
                transaction.leases.release(self._lease)
            self._lease = None

    def forget(self) -> None:
        """Drop a lease that another has taken."""
        self._lease = None

    @property
    def at_work(self) -> bool:
        """Whether this one holds the lease, as far as it knows."""
        return self._lease is not None

    def keep_lease(self) -> None:
        """Renew the lease when half of it is gone."""
        lease = self._held()
        now = self.clock.now()
        if lease.expires_at - now < self.lease_time / 2:
            with self.database.write() as transaction:
                self._lease = transaction.leases.renew(lease, ttl=self.lease_time, now=now)

    # --- publishing ----------------------------------------------------------------------------------------------

    def publish(self, *, renew_all: bool = False) -> Publication | None:
        """Publish what is pending and renew what is due, in one publication.

        Args:
            renew_all: sign every online role anew, due or not.

        Returns:
            The publication, or None if there was nothing to do.

        Raises:
            LeaseLost: another publisher took over; nothing more is written.
            InternalError: the changes cannot be published; what is due has been renewed without them.
        """
        try:
            return self._publish(limit=self.batch, renew_all=renew_all)
        except InternalError:
            # Whatever is wrong with the changes must not let the timestamp expire for everybody. Nothing of them
            # was committed, or this would find a publication to recover.
            self._publish(limit=0, renew_all=renew_all)
            raise

    def _publish(self, *, limit: int, renew_all: bool) -> Publication | None:
        now = self.clock.now()
        with self.database.read() as transaction:
            entries = transaction.journal.pending(limit=limit)
            offline = self.trust.state(transaction)
            online = transaction.signing.online_roles()
            reason = "changes" if entries else "renew-all" if renew_all else None
            reason = reason or needs_publication(offline, online, self.lifetimes, now)
            if reason is None:
                return None
            bins = self._bins_to_sign(transaction, offline, online, entries, now=now, renew_all=renew_all)
        draft = plan(
            state=offline,
            online=online,
            bins=bins,
            signers=self.signers,
            lifetimes=self.lifetimes,
            now=now,
            new_snapshot=renew_all,
        )
        self._rehearse(draft, offline, online, entries, now)
        # A crash here leaves nothing: no version was given out.
        publication = self._commit(draft, online, entries, now, reason=reason)
        # A crash from here on leaves a committed publication: `_recover` renders it again and carries on.
        self._make_visible([(item.filename, item.data) for item in draft.signed], publication, entries)
        return publication

    def next_due(self) -> datetime:
        """When something must be renewed, if nothing changes until then."""
        with self.database.read() as transaction:
            offline = self.trust.state(transaction)
            online = transaction.signing.online_roles()
        return next_due(offline, online, self.lifetimes, self.clock.now())

    # --- the steps -----------------------------------------------------------------------------------------------

    def _bins_to_sign(
        self,
        transaction: Transaction,
        offline: OfflineState,
        online: Mapping[str, OnlineRole],
        entries: Sequence[JournalEntry],
        *,
        now: datetime,
        renew_all: bool,
    ) -> dict[BinRef, list[Target]]:
        """The full new contents of every bin that changed or is due."""
        refs = {entry.bin for entry in entries} | bins_due(offline, online, self.lifetimes, now)
        if renew_all:
            refs.update(offline.layout.refs())
        contents = {
            ref: {target.path: target for target in targets}
            for ref, targets in transaction.signing.bins(refs).items()
        }
        for entry in entries:
            if entry.change.target is None:
                contents[entry.bin].pop(entry.change.path, None)
            else:
                contents[entry.bin][entry.change.path] = entry.change.target
        return {ref: list(targets.values()) for ref, targets in contents.items()}

    def _rehearse(
        self,
        draft: Draft,
        offline: OfflineState,
        online: Mapping[str, OnlineRole],
        entries: Sequence[JournalEntry],
        now: datetime,
    ) -> None:
        timestamp = self.store.read(TIMESTAMP_FILE)
        served = None
        if SNAPSHOT in online:
            served = self.store.read(f"{online[SNAPSHOT].version}.{SNAPSHOT}.json")
        snapshot = served if draft.snapshot is None else draft.snapshot.data
        if snapshot is None:
            raise StoreError("The metadata store has lost the snapshot that its timestamp names.")
        rehearse(
            roots=[root.data for root in offline.roots],
            offline={name: role.data for name, role in offline.delegated.items()},
            previous=None if timestamp is None or served is None else (timestamp, served),
            timestamp=draft.timestamp.data,
            snapshot=snapshot,
            bins={item.role.name: item.data for item in draft.bins},
            expected={entry.change.path: entry.change.target for entry in entries},
            layout=offline.layout,
            now=now,
        )

    def _commit(
        self,
        draft: Draft,
        online: Mapping[str, OnlineRole],
        entries: Sequence[JournalEntry],
        now: datetime,
        *,
        reason: str,
    ) -> Publication:
        roles = [item.role for item in draft.signed]
        snapshot = online[SNAPSHOT] if draft.snapshot is None else draft.snapshot.role
        with self.database.write() as transaction:
            lease = self._held()
            transaction.leases.check(lease)
            if transaction.signing.unpublished() is not None:
                raise InternalError("A publication is committed and not published: recover first.")
            publication_id = transaction.signing.add_publication(
                epoch=lease.epoch,
                snapshot_version=snapshot.version,
                timestamp_version=draft.timestamp.role.version,
                reason=reason,
                changes=len(entries),
                roles=[role.name for role in roles],
                at=now,
            )
            transaction.signing.apply([(entry.bin, entry.change) for entry in entries])
            transaction.signing.put_online_roles(roles, publication_id=publication_id)
            transaction.journal.assign([entry.id for entry in entries], publication_id)
            publication = transaction.signing.last_publication()
        if publication is None or publication.id != publication_id:
            raise InternalError("The publication just committed is not the newest.")
        return publication

    def _make_visible(
        self, files: Sequence[tuple[str, bytes]], publication: Publication, entries: Sequence[JournalEntry]
    ) -> None:
        """Store the files of a committed publication, move the timestamp, mark it published."""
        with self.database.read() as transaction:
            offline_items = transaction.signing.offline_metadata()
        *versioned, (_, timestamp) = files
        bins = [(name, data) for name, data in versioned if not name.endswith(f".{SNAPSHOT}.json")]
        snapshot = [(name, data) for name, data in versioned if name.endswith(f".{SNAPSHOT}.json")]
        self.store.create([*((item.filename, item.data) for item in offline_items), *bins])
        # A crash here leaves bins that no snapshot names: recovery finds them equal and goes on.
        self.store.create(snapshot)
        # A crash here leaves a snapshot that no timestamp names; clients do not see it.
        self._read_back(versioned)
        self.store.move_timestamp(timestamp, epoch=self._held().epoch)
        # A crash here leaves a publication that clients see and the database does not know as published:
        # recovery finds the timestamp in place, equal, and marks it.
        with self.database.write() as transaction:
            transaction.leases.check(self._held())
            _serve_pages(transaction, entries)
            transaction.signing.mark_published(publication.id, at=self.clock.now())
        log.info(
            "published",
            publication=publication.id,
            snapshot=publication.snapshot_version,
            timestamp_version=publication.timestamp_version,
            changes=publication.changes,
            reason=publication.reason,
        )

    def _read_back(self, files: Iterable[tuple[str, bytes]]) -> None:
        for name, data in files:
            stored = self.store.read(name)
            if stored is None or sha256_hex(stored) != sha256_hex(data):
                raise StoreError(
                    f"The metadata store does not hold {name} as it was written; nothing was published."
                )

    # --- recovery ------------------------------------------------------------------------------------------------

    def _recover(self) -> None:
        """Carry on where a predecessor stopped: finish its publication, and mend a store that lost files."""
        with self.database.read() as transaction:
            offline = self.trust.state(transaction)
            online = transaction.signing.online_roles()
            unfinished = transaction.signing.unpublished()
            last = unfinished or transaction.signing.last_publication()
            if last is None:
                return
            self._refuse_store_ahead(online)
            stored = self.store.read(TIMESTAMP_FILE)
            whole = stored is not None and sha256_hex(stored) == online[TIMESTAMP].sha256
            if whole and unfinished is None:
                return
            # Where the timestamp is that of the last publication or of the one before, only the unfinished roles
            # can be missing; a store that lost more gets every role again.
            behind = stored is None or _version(stored) < online[TIMESTAMP].version - 1
            names = list(online) if behind or unfinished is None else list(unfinished.roles)
            files = self._render_again(transaction, offline, online, names)
            entries = transaction.journal.taken_by(last.id)
        log.warning("recovering", publication=last.id, roles=len(names), timestamp_in_place=whole)
        self._make_visible(files, last, entries)

    def _render_again(
        self,
        transaction: Transaction,
        offline: OfflineState,
        online: Mapping[str, OnlineRole],
        names: Sequence[str],
    ) -> list[tuple[str, bytes]]:
        refs = {name: ref for name in names if (ref := offline.layout.parse_role(name)) is not None}
        bins = transaction.signing.bins(set(refs.values()))
        files = [
            (f"{online[name].version}.{name}.json", render_bin_again(online[name], bins[ref]))
            for name, ref in refs.items()
        ]
        if SNAPSHOT in names:
            versions = snapshot_versions(offline, online)
            data = render_snapshot_again(online[SNAPSHOT], versions, snapshot_lengths(online))
            files.append((f"{online[SNAPSHOT].version}.{SNAPSHOT}.json", data))
        files.append((TIMESTAMP_FILE, render_timestamp_again(online[TIMESTAMP], online[SNAPSHOT])))
        return files

    def _refuse_store_ahead(self, online: Mapping[str, OnlineRole]) -> None:
        stored = self.store.read(TIMESTAMP_FILE)
        if stored is None:
            return
        version = _version(stored)
        if version > online[TIMESTAMP].version:
            raise StoreError(
                f"The metadata store is ahead of the database (timestamp {version} against "
                f"{online[TIMESTAMP].version}): was a backup restored? Nothing is published until that is mended."
            )

    def _held(self) -> Lease:
        if self._lease is None:
            raise InternalError("This publisher holds no lease.")
        return self._lease


def _version(timestamp: bytes) -> int:
    try:
        return Metadata[Timestamp].from_bytes(timestamp).signed.version
    except DeserializationError as error:
        raise StoreError("The metadata store holds a timestamp that cannot be read.") from error


def _serve_pages(transaction: Transaction, entries: Sequence[JournalEntry]) -> None:
    formats: dict[str, PageFormat] = {"index.html": "html", "index.v1.json": "json"}
    for entry in entries:
        name = parse_target(entry.change.path)
        if name.kind == "page":
            target = entry.change.target
            served = None if target is None else ServedPage(sha256=target.sha256, length=target.length)
            transaction.catalog.set_served_page(name.project, formats[name.filename], served)
