"""The database against itself: roles, versions, publications, the journal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gatehouse.gate.keep.prove.fault import Fault, Step
from gatehouse.gate.ports import Database, Publication, Transaction
from gatehouse.gate.ports.keeping import PublicationLine
from gatehouse.gate.trust import Trust
from gatehouse.tuf import render
from gatehouse.tuf.committed import Committed
from gatehouse.tuf.model import Family, OnlineRole
from gatehouse.tuf.roles import SNAPSHOT, TIMESTAMP
from gatehouse.tuf.trusted import OfflineState

_RESTORE = (
    "restore the database from a backup; if the store is ahead of it then, `gatehouse tuf rebuild --from-store`"
)
_EVERY = 10_000


def prove_database(database: Database, trust: Trust, *, last: int | None, step: Step) -> Iterator[Fault]:
    """Prove the tables of the signing state.

    Args:
        database: what to prove.
        trust: reads the offline metadata.
        last: only so many of the newest publications; None: all.
        step: told how far it has come.
    """
    with database.read() as transaction:
        offline = trust.state(transaction)
        online = transaction.signing.online_roles()
        newest = transaction.signing.last_publication()
        yield from _roles(offline, online)
        if newest is not None and SNAPSHOT in online and TIMESTAMP in online:
            yield from _tip(transaction, offline, online, newest)
        outside = transaction.keeping.misplaced_targets([offline.layout.count(family) for family in Family])
        if outside:
            yield Fault(
                code="misplaced",
                subject="targets",
                fault=f"{outside:,} targets stand in bins that are not there",
                means="no client can find them, and no bin lists them",
                repair=_RESTORE,
            )
        yield from _publications(transaction.keeping.publications(last=last), step)


def _roles(offline: OfflineState, online: Mapping[str, OnlineRole]) -> Iterator[Fault]:
    known = {offline.layout.role_name(ref) for ref in offline.layout.refs()}
    # Before the first snapshot bins come in chunks, and not all of them are there.
    for name in sorted(known - online.keys()) if SNAPSHOT in online else ():
        yield Fault(
            code="role-missing",
            subject=name,
            fault="the database has no such role, although a delegation names it",
            means="a client that looks there for a target finds nothing",
            repair=_RESTORE,
        )
    for name in sorted(online.keys() - known - {SNAPSHOT, TIMESTAMP}):
        yield Fault(
            code="no-delegation",
            subject=name,
            fault="no delegation reaches this role",
            means="snapshots go on listing it, and nothing in it is ever found",
            repair="none is needed; if it was meant to be there, restore the offline metadata that names it",
        )


def _tip(
    transaction: Transaction, offline: OfflineState, online: Mapping[str, OnlineRole], newest: Publication
) -> Iterator[Fault]:
    """The newest publication, its snapshot and its timestamp say the same."""
    snapshot, timestamp = online[SNAPSHOT], online[TIMESTAMP]
    stated = (newest.snapshot_version, newest.timestamp_version)
    if stated != (snapshot.version, timestamp.version):
        yield Fault(
            code="tip",
            subject=f"publication {newest.id}",
            fault=f"it names snapshot and timestamp {stated}, the roles stand at "
            f"{(snapshot.version, timestamp.version)}",
            means="recovery after a crash would write the wrong files",
            repair=_RESTORE,
        )
    if not render.is_as_committed(timestamp, render.render(timestamp, render.timestamp_body(snapshot))):
        yield _unrenderable(TIMESTAMP)
    # Offline metadata that came since then is in the next snapshot and not in this one.
    is_new = max(transaction.signing.offline_added().values()) >= newest.committed_at
    if not is_new and Committed(offline, online).stale:
        yield _unrenderable(SNAPSHOT)


def _unrenderable(role: str) -> Fault:
    return Fault(
        code="unrenderable",
        subject=role,
        fault="it renders to other bytes than were committed",
        means="versions or signatures were changed behind the publisher's back; recovery would refuse",
        repair=_RESTORE,
    )


def _publications(lines: Iterator[PublicationLine], step: Step) -> Iterator[Fault]:
    timestamp = snapshot = 0
    unfinished: PublicationLine | None = None
    for number, line in enumerate(lines, start=1):
        if number % _EVERY == 0:
            step("publications", number, 0)
        if unfinished is not None:
            yield _publication(
                unfinished,
                "it is committed and not published, and later ones follow it",
                "its files may be missing from the store",
            )
        unfinished = None if line.published else line
        if line.taken != line.changes:
            yield _publication(
                line,
                f"it counts {line.changes} changes, and {line.taken} journal entries name it",
                "an entry was lost or added behind the publisher's back",
            )
        if line.timestamp_version:
            if line.timestamp_version <= timestamp or line.snapshot_version < snapshot:
                yield _publication(
                    line,
                    f"its versions {line.snapshot_version} and {line.timestamp_version} do not rise",
                    "clients refuse what goes back",
                )
            timestamp, snapshot = line.timestamp_version, line.snapshot_version


def _publication(line: PublicationLine, fault: str, means: str) -> Fault:
    return Fault(code="publication", subject=f"publication {line.id}", fault=fault, means=means, repair=_RESTORE)
