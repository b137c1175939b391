"""The store against the database: the chain that clients follow, every file that is listed or is not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from gatehouse.core.errors import StoreError
from gatehouse.gate.keep.prove.bins import altered, missing
from gatehouse.gate.keep.prove.fault import Fault, Step
from gatehouse.gate.keep.stored import TIMESTAMP_FILE, Served, Unproved, file_name, parse_name, read_served
from gatehouse.gate.ports import Database, Transaction
from gatehouse.gate.publish import LEASE
from gatehouse.gate.trust import Trust
from gatehouse.tuf.model import OnlineRole
from gatehouse.tuf.ports import MetadataStore
from gatehouse.tuf.roles import ROOT, TIMESTAMP
from gatehouse.tuf.trusted import OfflineState

_EVERY = 10_000
_REBUILD = "stop every publisher and run `gatehouse tuf rebuild --from-store --replace`"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Committed:
    """What the database commits to, at one moment: offline roles too, by role, with the length of each file."""

    offline: OfflineState
    online: Mapping[str, OnlineRole]
    versions: Mapping[str, int]
    lengths: Mapping[str, int]
    coming: frozenset[str]
    epoch: int

    @classmethod
    def of(cls, transaction: Transaction, trust: Trust) -> _Committed:
        offline = trust.state(transaction)
        online = transaction.signing.online_roles()
        unfinished = transaction.signing.unpublished()
        signed_offline = [offline.root, *offline.delegated.values()]
        return cls(
            offline=offline,
            online=online,
            versions={role.name: role.version for role in signed_offline}
            | {role.name: role.version for role in online.values()},
            lengths={role.name: len(role.data) for role in signed_offline}
            | {role.name: role.length for role in online.values()},
            coming=frozenset() if unfinished is None else frozenset(unfinished.roles),
            epoch=transaction.keeping.epoch_of(LEASE),
        )


@dataclass(kw_only=True, slots=True)
class _Listing:
    """What one pass over the store saw, by role: versions that were not met, and the highest that is too high."""

    awaited: dict[str, int]
    above: dict[str, int] = field(default_factory=dict)


def prove_store(database: Database, store: MetadataStore, trust: Trust, *, step: Step) -> Iterator[Fault]:
    """Prove the store.

    Args:
        database: what was committed.
        store: what to prove.
        trust: reads the offline metadata.
        step: told how far it has come.
    """
    with database.read() as transaction:
        first = _Committed.of(transaction, trust)
    yield from _epoch(store, first)
    if not first.online:
        return
    yield from _chain(database, store, trust)
    listing = _Listing(
        awaited={role: version for role, version in first.versions.items() if role not in (ROOT, TIMESTAMP)}
    )
    yield from _list(store, first, listing, step)
    # What was published meanwhile is no fault, so whatever looks like one is judged by what is committed now.
    with database.read() as transaction:
        now = _Committed.of(transaction, trust)
    for role, version in sorted(listing.above.items()):
        if version > now.versions.get(role, 0):
            yield Fault(
                code="store-ahead",
                subject=file_name(version, role),
                fault=f"the database commits to no version above {now.versions.get(role, 0)}",
                means="the database is older than the store (was a backup restored?), or a stranger wrote here",
                repair=f"if the timestamp is ahead too, {_REBUILD}; if not, move the file away: the publisher "
                "would refuse to overwrite it",
            )
    for role, version in sorted(listing.awaited.items()):
        name = file_name(version, role)
        if now.versions[role] == version and role not in now.coming and store.read(name) is None:
            yield missing(name)


def _epoch(store: MetadataStore, committed: _Committed) -> Iterator[Fault]:
    try:
        epoch = store.epoch()
    except StoreError as error:
        yield Fault(
            code="epoch",
            subject="store",
            fault=error.message,
            means="no publisher can take over",
            repair=f"stop every publisher and write {committed.epoch} into .store/epoch of the metadata folder",
        )
        return
    if epoch > committed.epoch:
        yield Fault(
            code="epoch",
            subject="store",
            fault=f"epoch {epoch} has fenced it, and the database has given out none above {committed.epoch}",
            means="the database is older than the store, and its publisher is refused",
            repair=_REBUILD,
        )


def _chain(database: Database, store: MetadataStore, trust: Trust) -> Iterator[Fault]:
    """From the first root to the delegations as a client follows them, and the same as was committed."""
    with database.read() as transaction:
        root = trust.state(transaction).roots[0]
    try:
        served = read_served(store.read, root.data)
    except Unproved as error:
        yield Fault(
            code="chain",
            subject="store",
            fault=error.message,
            means="clients refuse the repository",
            repair="put the file back from the last archive or a mirror; a lost timestamp, and all that goes with "
            "it, the publisher writes again at its start",
        )
        return
    with database.read() as transaction:
        committed = _Committed.of(transaction, trust)
    yield from _same(served, committed)
    stands = committed.online.get(TIMESTAMP)
    behind = stands is not None and served.timestamp.version < stands.version and not committed.coming
    if behind and store.read(TIMESTAMP_FILE) == served.files[TIMESTAMP_FILE]:
        yield Fault(
            code="store-behind",
            subject=TIMESTAMP_FILE,
            fault=f"it is version {served.timestamp.version}, and {committed.versions[TIMESTAMP]} was published",
            means="clients see an older state than was promised, and those that saw the newer refuse this one",
            repair="restart the publisher: it writes again at its start what the database can render",
        )


def _same(served: Served, committed: _Committed) -> Iterator[Fault]:
    stands = committed.online.get(TIMESTAMP)
    if stands is None or served.timestamp.version > stands.version:
        yield Fault(
            code="store-ahead",
            subject=TIMESTAMP_FILE,
            fault=f"it is version {served.timestamp.version}, the database stands at {stands and stands.version}",
            means="the database is older than the store: was a backup restored? Nothing can be published",
            repair=_REBUILD,
        )
    elif served.timestamp.version == stands.version and served.timestamp.sha256 != stands.sha256:
        yield altered(TIMESTAMP_FILE)
    for item in committed.offline.roots:
        stored = served.files.get(item.filename)
        # The newest may be waiting for its first publication.
        if stored != item.data and not (stored is None and item.version == committed.offline.root.version > 1):
            yield missing(item.filename) if stored is None else altered(item.filename)
    for role, version in served.versions.items():
        known = committed.versions.get(role, 0)
        if known < version and (stands is not None and served.timestamp.version <= stands.version):
            yield Fault(
                code="never-committed",
                subject=file_name(version, role),
                fault=f"the served snapshot lists it, and the database stands at version {known}",
                means="the roles of the database and the served snapshot are of two histories",
                repair=_REBUILD,
            )


def _list(store: MetadataStore, committed: _Committed, listing: _Listing, step: Step) -> Iterator[Fault]:
    """Go over all files; there may be millions, so that nothing is kept of a file but the fault in it."""
    for number, file in enumerate(store.files(), start=1):
        if number % _EVERY == 0:
            step("files", number, 0)
        if file.name == TIMESTAMP_FILE:
            continue
        parsed = parse_name(file.name)
        if parsed is None or parsed[1] not in committed.versions:
            yield _unknown(file.name)
            continue
        version, role = parsed
        known = committed.versions[role]
        if version > known:
            listing.above[role] = max(version, listing.above.get(role, 0))
        elif version == known:
            listing.awaited.pop(role, None)
            if file.size != committed.lengths[role]:
                yield altered(file.name)


def _unknown(name: str) -> Fault:
    return Fault(
        code="unknown-file",
        subject=name,
        fault="neither the database nor the served snapshot names its role",
        means="no client asks for it; a stranger or another repository wrote here, or a probe died",
        repair="move it away",
    )
