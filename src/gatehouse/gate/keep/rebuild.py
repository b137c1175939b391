"""The story of a rebuild: the signing state of the database, written anew from what the store serves.

For a database that was lost, or restored from a backup and is now behind its store. Clients hold what the store
served; going back is what they refuse, so the store's word counts: offline metadata, the version, expiry,
signatures and digest of every online role, every target, and a publication that stands for the served timestamp.
All of it is proved from a trusted root before it is believed. The store itself is read and never written, but
for its fence.

One transaction: a crash leaves the database as it was, and the rebuild starts again. What the catalog says is
kept:

- A journal entry that waits, and whose change the store shows already, is given to the publication; the others
  wait on and are published next. Of several changes of one path, those up to the last one that the store shows
  are covered.
- A project's page that is served becomes the page that is signed, since serving another would fail every client.
- What the store lists and the catalog does not know (it came after the backup) stays listed: only people know
  whether it should. It is counted and said.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from gatehouse.catalog.model import ServedPage
from gatehouse.core.clock import Clock
from gatehouse.core.errors import OperatorError
from gatehouse.core.names import InvalidName, PageFormat, TargetName, parse_target
from gatehouse.gate.keep.stored import Served, Unproved, parse_name, read_bin, read_served
from gatehouse.gate.ports import Database, JournalEntry, Publication, Transaction
from gatehouse.gate.publish import LEASE
from gatehouse.tuf.model import OfflineMetadata, OnlineRole, RawTarget
from gatehouse.tuf.ports import MetadataStore
from gatehouse.tuf.roles import OFFLINE_DELEGATED, ROOT, TIMESTAMP
from gatehouse.tuf.trusted import OfflineState

REASON = "rebuilt from the store"
_LEASE_TIME = timedelta(minutes=5)
_ALL = 2**31
_FORMATS: dict[str, PageFormat] = {"index.html": "html", "index.v1.json": "json"}


class CannotRebuild(OperatorError):
    """The database is not one that a rebuild may write. The message says why, and what to do."""

    code = "cannot-rebuild"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rebuilt:
    """What a rebuild wrote.

    `covered` journal entries were in the store already, `waiting` are still to be published; `unknown_files` and
    `unknown_pages` are targets that the catalog does not know. `dropped_imports` bins had targets that were
    imported in bulk and not yet published when the backup was made: what the store does not show of them is
    gone.
    """

    snapshot_version: int
    timestamp_version: int
    epoch: int
    roles: int
    targets: int
    covered: int
    waiting: int
    unknown_files: int
    unknown_pages: int
    dropped_imports: int


def _silent(_done: int, _of: int) -> None:
    """Nobody watches."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rebuild:
    """Rebuilds. `holder` is who this is, for people who read the lease.

    `steal`: this process knows itself the only one, so that a lease in the backup is void.
    """

    database: Database
    store: MetadataStore
    clock: Clock
    holder: str
    steal: bool = False

    def __call__(
        self, trusted_root: bytes, *, replace: bool = False, step: Callable[[int, int], None] = _silent
    ) -> Rebuilt:
        """Rebuild the signing state.

        Args:
            trusted_root: where trust begins; the store must have it under its version.
            replace: write over the signing state of a database that is behind the store.
            step: told how many bins were read, of how many.

        Raises:
            Unproved: what the store serves does not verify; the database is as it was.
            CannotRebuild: a publisher is at work, or the database has a signing state (without `replace`), or one
                that is ahead of the store or holds more than the store can bring back.
        """
        served = read_served(self.store.read, trusted_root)
        with self.database.write() as transaction:
            lease = transaction.leases.acquire(
                LEASE, self.holder, ttl=_LEASE_TIME, now=self.clock.now(), steal=self.steal
            )
            if lease is None:
                raise CannotRebuild(
                    "A publisher is at work on this database: stop it first, and let its lease end."
                )
            same = _refuse_wrong_database(transaction, served, replace=replace)
            imported = len(transaction.signing.dirty_bins(limit=_ALL))
            self._take_offline(transaction, served)
            transaction.keeping.clear_signed()
            loaded = self._load(transaction, served, step)
            covered, waiting = _reconciled(transaction, served.offline)
            number = same.id if same is not None else self._publication(transaction, served, lease.epoch, covered)
            if same is None:
                transaction.journal.assign(covered, number)
            transaction.signing.put_online_roles(
                [*loaded.roles, served.snapshot, served.timestamp], publication_id=number
            )
            # Above whatever has fenced the store, and the next publisher's above that: the old ones are all out. A
            # crash between fence and commit leaves a database that may not publish, which is what it was before.
            epoch = max(self.store.epoch(), lease.epoch) + 1
            transaction.leases.release(lease)
            transaction.keeping.raise_epoch(LEASE, epoch)
            self.store.fence(epoch)
        return Rebuilt(
            snapshot_version=served.snapshot.version,
            timestamp_version=served.timestamp.version,
            epoch=epoch,
            roles=len(loaded.roles) + 2,
            targets=loaded.targets,
            covered=0 if same is not None else len(covered),
            waiting=waiting + (len(covered) if same is not None else 0),
            unknown_files=loaded.unknown_files,
            unknown_pages=loaded.unknown_pages,
            dropped_imports=imported,
        )

    def _take_offline(self, transaction: Transaction, served: Served) -> None:
        """Add the offline metadata that the database lacks; what it has must be the same."""
        known = {(item.role, item.version): item.data for item in transaction.signing.offline_metadata()}
        new = []
        for name, data in served.files.items():
            parsed = parse_name(name)
            if parsed is None or parsed[1] not in (ROOT, *OFFLINE_DELEGATED):
                continue
            version, role = parsed
            if known.get((role, version), data) != data:
                raise CannotRebuild(f"The database has another {name} than the store: they are two repositories.")
            if (role, version) not in known:
                new.append(OfflineMetadata(role=role, version=version, data=data))
        transaction.signing.add_offline_metadata(new, at=self.clock.now())
        # Together they must verify as well as each of them does.
        OfflineState.parse(transaction.signing.offline_metadata())

    def _load(self, transaction: Transaction, served: Served, step: Callable[[int, int], None]) -> _Loaded:
        """Read, prove and write every bin that the snapshot lists."""
        loaded = _Loaded()
        names = served.bins()
        for number, filename in enumerate(names):
            step(number, len(names))
            version, role = parse_name(filename) or (0, "")
            data = self.store.read(filename)
            if data is None:
                raise Unproved(
                    f"{filename} is missing from the store: put it back from the last archive or a mirror."
                )
            online, rows = read_bin(served.offline, role, version, data)
            loaded.roles.append(online)
            loaded.targets += len(rows)
            if rows:
                transaction.keeping.restore_targets(served.offline.layout.bin_of(rows[0][0]), rows)
                _hand_to_catalog(transaction, rows, loaded)
        step(len(names), len(names))
        return loaded

    def _publication(self, transaction: Transaction, served: Served, epoch: int, covered: Sequence[int]) -> int:
        """A publication that stands for what is served."""
        now = self.clock.now()
        unfinished = transaction.signing.unpublished()
        if unfinished is not None:
            # It was committed before the backup and finished after it: what is served has come past it.
            transaction.signing.mark_published(unfinished.id, at=now)
        number = transaction.signing.add_publication(
            epoch=epoch,
            snapshot_version=served.snapshot.version,
            timestamp_version=served.timestamp.version,
            reason=REASON,
            changes=len(covered),
            roles=[],
            at=now,
        )
        transaction.signing.mark_published(number, at=now)
        return number


@dataclass(kw_only=True, slots=True)
class _Loaded:
    """What was read of the bins."""

    roles: list[OnlineRole] = field(default_factory=list)
    targets: int = 0
    unknown_files: int = 0
    unknown_pages: int = 0


def _refuse_wrong_database(transaction: Transaction, served: Served, *, replace: bool) -> Publication | None:
    """Refuse a database that a rebuild must not write.

    Returns:
        The publication that the database has of the served timestamp: then only what hangs on it is written anew.
    """
    if not transaction.keeping.has_signed():
        return None
    if not replace:
        raise CannotRebuild(
            "The database has a signing state. If it was restored from a backup and is behind, say --replace."
        )
    committed = transaction.signing.online_roles().get(TIMESTAMP)
    last = transaction.signing.last_publication()
    if committed is not None and committed.version > served.timestamp.version:
        raise CannotRebuild(
            f"The database is ahead of the store, {committed.version} against {served.timestamp.version} of the "
            "timestamp: start the publisher, which writes again what is missing there."
        )
    if last is None or last.timestamp_version != served.timestamp.version:
        return None
    if last.published_at is None:
        raise CannotRebuild("The newest publication is not finished: start the publisher, which finishes it.")
    if transaction.signing.dirty_bins(limit=1):
        raise CannotRebuild(
            "Imported targets wait for their publication, and only the database has them: publish."
        )
    return last


def _hand_to_catalog(transaction: Transaction, rows: Sequence[RawTarget], loaded: _Loaded) -> None:
    """Serve the pages that are signed, and count what the catalog does not know."""
    pages: list[tuple[str, PageFormat, ServedPage]] = []
    filenames: list[str] = []
    for path, digest, length in rows:
        name = _parsed(path)
        if name.kind == "page":
            page = ServedPage(sha256=digest.hex(), length=length)
            pages.append((name.project, _FORMATS[name.filename], page))
        else:
            filenames.append(name.filename)
    loaded.unknown_pages += len(pages) - transaction.keeping.serve_pages(pages)
    known = transaction.keeping.known_files(filenames)
    loaded.unknown_files += sum(filename not in known for filename in filenames)


def _reconciled(transaction: Transaction, offline: OfflineState) -> tuple[list[int], int]:
    """The journal entries that wait although the store shows them, and how many others wait."""
    by_path: dict[str, list[JournalEntry]] = {}
    for entry in transaction.journal.pending(limit=_ALL):
        by_path.setdefault(entry.change.path, []).append(entry)
    covered: list[int] = []
    total = 0
    for path, entries in by_path.items():
        stored = transaction.signing.find_target(path, offline.layout.bin_of(path))
        shown = [number for number, entry in enumerate(entries, start=1) if entry.change.target == stored]
        covered += [entry.id for entry in entries[: max(shown, default=0)]]
        total += len(entries)
    return covered, total - len(covered)


def _parsed(path: str) -> TargetName:
    try:
        return parse_target(path)
    except InvalidName as error:
        raise Unproved(f"The store lists {path[:200]!r}, which is not a target path of this index.") from error
