"""The writes of a publication, in the order that a crash forgives; a comment between two says what it leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from gatehouse.catalog.model import ServedPage
from gatehouse.core.clock import Clock
from gatehouse.core.errors import StoreError
from gatehouse.core.names import PageFormat, parse_target
from gatehouse.gate.ports import Database, JournalEntry, Lease, Publication, Transaction
from gatehouse.gate.publishing.making import Made, in_threads
from gatehouse.gate.publishing.recover import Unfinished
from gatehouse.gate.publishing.state import PublisherState
from gatehouse.gate.purge import Purges
from gatehouse.tuf.plan import Draft, SignedRole
from gatehouse.tuf.ports import MetadataStore

log = structlog.get_logger(__name__)


class OvertakenError(Exception):
    """Targets were loaded into a bin while it was rendered: what was rendered is no longer what is there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Carrier:
    """Carries out one publication under one lease."""

    database: Database
    store: MetadataStore
    clock: Clock
    purges: Purges
    lease: Lease
    threads: int

    def carry_out(
        self,
        draft: Draft,
        made: Made,
        state: PublisherState,
        entries: Sequence[JournalEntry],
        *,
        reason: str,
        now: datetime,
    ) -> Publication:
        """Commit a rehearsed draft, store it and make it visible.

        Raises:
            LeaseLost: another publisher took over.
            OvertakenError: a rendered bin is no longer what is in the database; nothing was committed.
            StoreError: the store does not take it; it is committed, and is rolled forward.
        """
        # A crash here leaves nothing: no version was given out.
        publication = self._commit(draft, made, state, entries, reason=reason, now=now)
        # A crash from here on leaves a committed publication: `Recovery` makes its files again and carries on.
        self._store(draft, state)
        # A crash here leaves files that no timestamp names; clients do not see them.
        timestamp = None if draft.timestamp is None else draft.timestamp.data
        self.make_visible(Unfinished(publication=publication, entries=entries, timestamp=timestamp))
        return publication

    def make_visible(self, unfinished: Unfinished) -> None:
        """Move the timestamp of a publication whose files are stored, and mark it published.

        Raises:
            LeaseLost: another publisher took over.
            StoreError: the timestamp cannot be moved.
        """
        publication = unfinished.publication
        if unfinished.timestamp is not None:
            self.store.move_timestamp(unfinished.timestamp, epoch=self.lease.epoch)
        # A crash here leaves a publication that clients see and the database does not know as published:
        # recovery finds the timestamp in place, equal, and marks it.
        with self.database.write() as transaction:
            transaction.leases.check(self.lease)
            now = self.clock.now()
            if unfinished.timestamp is not None:
                _serve_pages(transaction, unfinished.entries)
                self.purges.published(transaction, unfinished.entries, at=now)
            transaction.signing.mark_published(publication.id, at=now)
        log.info(
            "published",
            publication=publication.id,
            snapshot=publication.snapshot_version,
            timestamp_version=publication.timestamp_version,
            changes=publication.changes,
            roles=len(publication.roles),
            reason=publication.reason,
        )

    def _commit(
        self,
        draft: Draft,
        made: Made,
        state: PublisherState,
        entries: Sequence[JournalEntry],
        *,
        reason: str,
        now: datetime,
    ) -> Publication:
        roles = [item.role for item in draft.signed]
        snapshot = state.committed.snapshot if draft.snapshot is None else draft.snapshot.role
        is_chunk = draft.timestamp is None or snapshot is None
        publication = Publication(
            id=0,
            epoch=self.lease.epoch,
            snapshot_version=0 if is_chunk or snapshot is None else snapshot.version,
            timestamp_version=0 if draft.timestamp is None else draft.timestamp.role.version,
            reason=reason,
            changes=len(entries),
            committed_at=now,
            published_at=None,
            roles=tuple(role.name for role in roles),
        )
        with self.database.write() as transaction:
            transaction.leases.check(self.lease)
            number = transaction.signing.add_publication(
                epoch=publication.epoch,
                snapshot_version=publication.snapshot_version,
                timestamp_version=publication.timestamp_version,
                reason=reason,
                changes=publication.changes,
                roles=publication.roles,
                at=now,
            )
            if again := transaction.signing.settle_dirty(made.marks):
                log.info("targets were loaded meanwhile", bins=len(again))
                raise OvertakenError
            transaction.signing.apply([(entry.bin, entry.change) for entry in entries])
            transaction.signing.put_online_roles(roles, publication_id=number)
            transaction.journal.assign([entry.id for entry in entries], number)
        return replace(publication, id=number)

    def _store(self, draft: Draft, state: PublisherState) -> None:
        """Create the files of a committed publication, but for the timestamp, and read them back."""
        if not state.offline_stored:
            with self.database.read() as transaction:
                metadata = transaction.signing.offline_metadata()
            self.store.create((item.filename, item.data) for item in metadata)
            state.offline_stored = True
        self.store.create((item.filename, item.data) for item in draft.bins)
        # A crash here leaves bins that no snapshot names: recovery finds them equal and goes on.
        versioned = draft.bins
        if draft.snapshot is not None:
            versioned = (*draft.bins, draft.snapshot)
            self.store.create([(draft.snapshot.filename, draft.snapshot.data)])
        # A crash here leaves a snapshot that no timestamp names; clients do not see it.
        for item, equal in in_threads(versioned, self._read_back, threads=self.threads):
            if not equal:
                raise StoreError(
                    f"The metadata store does not hold {item.filename} as it was written; nothing was published."
                )

    def _read_back(self, item: SignedRole) -> tuple[SignedRole, bool]:
        return item, self.store.read(item.filename) == item.data


def _serve_pages(transaction: Transaction, entries: Sequence[JournalEntry]) -> None:
    formats: dict[str, PageFormat] = {"index.html": "html", "index.v1.json": "json"}
    pages: dict[tuple[str, PageFormat], ServedPage | None] = {}
    for entry in entries:
        name = parse_target(entry.change.path)
        if name.kind == "page":
            target = entry.change.target
            served = None if target is None else ServedPage(sha256=target.sha256, length=target.length)
            pages[name.project, formats[name.filename]] = served
    transaction.catalog.set_served_pages(pages)
