"""Carrying on where a publisher stopped, and mending a store that lost files: forward, without a new signature.

Every file of a committed publication can be made again from what the database holds: a bin by splicing the file
before it or by rendering its targets, the snapshot from the committed versions, the timestamp from the snapshot.
The committed digest proves each; what exists already is left as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import structlog
from tuf.api.metadata import Metadata, Timestamp
from tuf.api.serialization import DeserializationError

from gatehouse.core.errors import GatehouseError, InternalError, StoreError
from gatehouse.gate.ports import Database, JournalEntry, Publication, Transaction
from gatehouse.gate.trust import Trust
from gatehouse.tuf.bins import BinLayout
from gatehouse.tuf.committed import snapshot_entries
from gatehouse.tuf.model import BinRef, OfflineMetadata, OnlineRole, Target
from gatehouse.tuf.plan import filename
from gatehouse.tuf.ports import MetadataStore
from gatehouse.tuf.render import (
    entries_body,
    entries_of,
    is_as_committed,
    listing_body,
    render_again,
    timestamp_body,
)
from gatehouse.tuf.roles import ROOT, SNAPSHOT, TIMESTAMP
from gatehouse.tuf.splice import body_of, splice

TIMESTAMP_FILE = f"{TIMESTAMP}.json"
log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Unfinished:
    """A publication to finish: its changes, and its timestamp (None for a chunk). Its other files are stored."""

    publication: Publication
    entries: Sequence[JournalEntry]
    timestamp: bytes | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Recovery:
    """Looks at database and store, and fills the store."""

    database: Database
    store: MetadataStore
    trust: Trust

    def refill(self) -> Unfinished | None:
        """Store whatever a committed publication lacks.

        Returns:
            What is left to do; None if nothing is.

        Raises:
            StoreError: the store is ahead of the database, or holds other bytes than were committed.
            InternalError: a committed file cannot be made again.
        """
        with self.database.read() as transaction:
            offline = self.trust.state(transaction)
            # All of them are a quarter of a second of a take-over at PyPI's size; these two tell what it needs.
            online = transaction.signing.online_roles(only=(SNAPSHOT, TIMESTAMP))
            unfinished = transaction.signing.unpublished()
            last = unfinished or transaction.signing.last_publication()
            stored = self.store.read(TIMESTAMP_FILE)
            _refuse_store_ahead(stored, online.get(TIMESTAMP))
            if last is None:
                return None
            is_chunk = last.timestamp_version == 0
            whole = is_chunk or self._is_whole(stored, online)
            if whole and unfinished is None:
                return None
            online = transaction.signing.online_roles()
            changes = transaction.journal.taken_by(last.id)
            # Where the timestamp is that of the last publication or of the one before, only the unfinished roles
            # can be missing; a store that lost more gets every role again.
            behind = not is_chunk and (
                unfinished is None or stored is None or _version(stored) < online[TIMESTAMP].version - 1
            )
            names = list(online) if behind else list(last.roles)
            log.warning("recovering", publication=last.id, roles=len(names), timestamp_in_place=whole)
            metadata = transaction.signing.offline_metadata()
            again = _Again(transaction=transaction, store=self.store, layout=offline.layout, online=online)
            self.store.create((item.filename, item.data) for item in metadata)
            self.store.create(again.bins(names, changes))
            # A crash here leaves bins that no snapshot names: the next recovery finds them equal and goes on.
            if SNAPSHOT in names:
                self.store.create([again.snapshot(metadata)])
            # A crash here leaves a snapshot that no timestamp names; clients do not see it.
            timestamp = None
            if not is_chunk:
                timestamp = render_again(online[TIMESTAMP], timestamp_body(online[SNAPSHOT]))
        read_back(self.store, (online[name] for name in names if name != TIMESTAMP))
        return Unfinished(publication=last, entries=changes, timestamp=timestamp)

    def _is_whole(self, timestamp: bytes | None, online: Mapping[str, OnlineRole]) -> bool:
        """Whether what clients begin with is there as it was committed."""
        snapshot = self.store.read(filename(online[SNAPSHOT]))
        return is_as_committed(online[TIMESTAMP], timestamp) and is_as_committed(online[SNAPSHOT], snapshot)


def read_back(store: MetadataStore, roles: Iterable[OnlineRole]) -> None:
    """Prove that the store holds the files of these roles as committed.

    Raises:
        StoreError: it does not.
    """
    for role in roles:
        if not is_as_committed(role, store.read(filename(role))):
            raise StoreError(
                f"The metadata store does not hold {filename(role)} as it was written; nothing was published."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Again:
    """Makes committed files again."""

    transaction: Transaction
    store: MetadataStore
    layout: BinLayout
    online: Mapping[str, OnlineRole]

    def bins(self, names: Iterable[str], changes: Iterable[JournalEntry]) -> Iterator[tuple[str, bytes]]:
        """Those of these bins that the store does not hold, one by one: there may be more than memory holds."""
        changed: dict[BinRef, dict[str, Target | None]] = {}
        for entry in changes:
            changed.setdefault(entry.bin, {})[entry.change.path] = entry.change.target
        for name in names:
            ref = self.layout.parse_role(name)
            role = self.online[name]
            if ref is None or is_as_committed(role, self.store.read(filename(role))):
                continue
            yield filename(role), self._bin(role, ref, changed.get(ref, {}))

    def snapshot(self, metadata: Sequence[OfflineMetadata]) -> tuple[str, bytes]:
        """The committed snapshot."""
        role = self.online[SNAPSHOT]
        bins = [role for name, role in self.online.items() if name not in (SNAPSHOT, TIMESTAMP)]
        # Offline metadata may have been added between the commit and now: then it listed what was there before.
        added = self.transaction.signing.offline_added()
        versions = sorted(
            (item for item in metadata if item.role != ROOT), key=lambda item: added[item.role, item.version]
        )
        while versions:
            newest: dict[str, int] = {}
            for item in versions:
                newest[item.role] = max(item.version, newest.get(item.role, 0))
            body = listing_body(snapshot_entries(bins, newest))
            try:
                return filename(role), render_again(role, body)
            except InternalError:
                versions.pop()
        raise InternalError(
            f"Version {role.version} of {SNAPSHOT} cannot be rendered again: run `gatehouse tuf fsck`."
        )

    def _bin(self, role: OnlineRole, ref: BinRef, changes: Mapping[str, Target | None]) -> bytes:
        before = self.store.read(f"{role.version - 1}.{role.name}.json")
        if before is not None:
            try:
                return render_again(role, entries_body(splice(body_of(before), changes)))
            except GatehouseError:
                log.warning("the file before was no help", role=role.name, version=role.version)
        found = dict(self.transaction.signing.target_columns([ref]))
        return render_again(role, entries_body(entries_of(found[ref]) if found else b""))


def _refuse_store_ahead(stored: bytes | None, committed: OnlineRole | None) -> None:
    if stored is None:
        return
    version, known = _version(stored), 0 if committed is None else committed.version
    if version > known:
        raise StoreError(
            f"The metadata store is ahead of the database (timestamp {version} against {known}): was a backup "
            "restored? Nothing is published until that is mended: run `gatehouse tuf rebuild`."
        )


def _version(timestamp: bytes) -> int:
    try:
        return Metadata[Timestamp].from_bytes(timestamp).signed.version
    except DeserializationError as error:
        raise StoreError(
            f"The metadata store holds a {TIMESTAMP_FILE} that cannot be read: move it away, and it is made anew."
        ) from error
