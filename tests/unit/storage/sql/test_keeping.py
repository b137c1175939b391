"""Whole tables as streams, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gatehouse.storage.sql.database import SqlDatabase, SqlTransaction
from gatehouse.tuf.model import BinRef, Family, Target, TargetChange

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
REF = BinRef(family=Family.SIMPLE, index=0)
PATH = "simple/example/index.html"


def digest(number: int) -> str:
    return f"{number:064x}"


def change(number: int | None, path: str = PATH) -> tuple[BinRef, TargetChange]:
    target = None if number is None else Target(path=path, sha256=digest(number), length=1)
    return REF, TargetChange(path=path, target=target, cause="page")


def publish(tx: SqlTransaction, version: int, at: datetime, *, finished: bool = True) -> None:
    """A publication of all that waits."""
    entries = tx.journal.pending(limit=100)
    number = tx.signing.add_publication(
        epoch=1,
        snapshot_version=version,
        timestamp_version=version,
        reason="changes",
        changes=len(entries),
        roles=[],
        at=at,
    )
    tx.signing.apply([(entry.bin, entry.change) for entry in entries])
    tx.journal.assign([entry.id for entry in entries], number)
    if finished:
        tx.signing.mark_published(number, at=at)


def named(database: SqlDatabase, *, settled_before: datetime) -> list[str]:
    with database.read() as tx:
        return list(dict.fromkeys(tx.keeping.named_blobs(settled_before=settled_before)))


class TestNamedBlobs:
    @pytest.fixture
    def history(self, database: SqlDatabase) -> SqlDatabase:
        """A page that was replaced three times, an hour apart, and once more without a publication yet."""
        with database.write() as tx:
            for number in (4, 3, 2, 1):
                tx.journal.append([change(number)], at=NOW)
                publish(tx, 5 - number, NOW + timedelta(hours=5 - number))
            tx.journal.append([change(9)], at=NOW)
        return database

    @pytest.mark.parametrize(
        ("hours", "numbers"),
        [
            # As of the moment, what was replaced since then is named as well, and what stood before it.
            (0.5, [1, 2, 3, 4, 9]),
            (1.5, [1, 2, 3, 4, 9]),
            (2.5, [1, 2, 3, 9]),
            (4.5, [1, 9]),
        ],
    )
    def test_what_was_replaced_lately_is_named(
        self, history: SqlDatabase, hours: float, numbers: list[int]
    ) -> None:
        found = named(history, settled_before=NOW + timedelta(hours=hours))
        assert found == [digest(number) for number in numbers]

    def test_what_a_committed_publication_took_is_named_until_it_is_published(self, database: SqlDatabase) -> None:
        with database.write() as tx:
            tx.journal.append([change(7)], at=NOW)
            publish(tx, 1, NOW)
            tx.journal.append([change(8)], at=NOW)
            publish(tx, 2, NOW, finished=False)
        assert named(database, settled_before=NOW + timedelta(days=9)) == [digest(7), digest(8)]

    def test_a_removal_lets_go_of_what_it_removed_after_the_grace(self, database: SqlDatabase) -> None:
        with database.write() as tx:
            tx.journal.append([change(7)], at=NOW)
            publish(tx, 1, NOW)
            tx.journal.append([change(None)], at=NOW)
            publish(tx, 2, NOW + timedelta(hours=1))
        assert named(database, settled_before=NOW + timedelta(minutes=30)) == [digest(7)]
        assert named(database, settled_before=NOW + timedelta(hours=2)) == []

    def test_targets_that_no_journal_knows_are_named(self, database: SqlDatabase) -> None:
        with database.write() as tx:
            tx.keeping.restore_targets(REF, [(PATH, bytes.fromhex(digest(5)), 1)])
        assert named(database, settled_before=NOW) == [digest(5)]


class TestSnapshots:
    def test_the_one_that_was_live_at_a_moment(self, database: SqlDatabase) -> None:
        with database.write() as tx:
            for version in (1, 2, 3):
                publish(tx, version, NOW + timedelta(hours=version))
            publish(tx, 4, NOW + timedelta(hours=4), finished=False)
        with database.read() as tx:
            moments = [tx.keeping.snapshot_at(NOW + timedelta(hours=hours)) for hours in (0.5, 1, 2.5, 9)]
            assert moments == [None, 1, 2, 3]
            assert tx.keeping.last_snapshots(2) == [3, 2]
            assert tx.keeping.last_snapshots(9) == [3, 2, 1]

    def test_publications_come_in_order_with_what_they_took(self, database: SqlDatabase) -> None:
        with database.write() as tx:
            publish(tx, 1, NOW)
            tx.journal.append([change(1), change(2)], at=NOW)
            publish(tx, 2, NOW)
            publish(tx, 3, NOW, finished=False)
        with database.read() as tx:
            lines = list(tx.keeping.publications())
            assert [(line.timestamp_version, line.changes, line.taken) for line in lines] == [
                (1, 0, 0),
                (2, 2, 2),
                (3, 0, 0),
            ]
            assert [line.published for line in lines] == [True, True, False]
            assert [line.id for line in tx.keeping.publications(last=2)] == [2, 3]
            assert [line.id for line in tx.keeping.publications(last=9)] == [1, 2, 3]


def test_the_epoch_of_a_lease_is_raised_and_never_lowered(database: SqlDatabase) -> None:
    with database.write() as tx:
        assert tx.keeping.epoch_of("publisher") == 0
        lease = tx.leases.acquire("publisher", "somebody", ttl=timedelta(minutes=1), now=NOW)
        assert lease is not None
        tx.leases.release(lease)
        tx.keeping.raise_epoch("publisher", 40)
        tx.keeping.raise_epoch("publisher", 7)
        assert tx.keeping.epoch_of("publisher") == 40
        lease = tx.leases.acquire("publisher", "somebody", ttl=timedelta(minutes=1), now=NOW)
        assert lease is not None
        assert lease.epoch == 41


def test_a_thousand_rows_of_a_bin_are_restored(database: SqlDatabase) -> None:
    rows = [(f"files/p/p-{number:04}.tar.gz", bytes.fromhex(digest(number)), number) for number in range(1000)]
    ref = BinRef(family=Family.FILES, index=3)
    with database.write() as tx:
        tx.keeping.restore_targets(ref, rows)
    with database.read() as tx:
        assert dict(tx.signing.raw_targets([ref])) == {ref: rows}
        assert tx.signing.dirty_bins(limit=9) == {}
        assert tx.keeping.has_signed()
        assert tx.keeping.misplaced_targets([2, 4]) == 0
        assert tx.keeping.misplaced_targets([2, 3]) == 1000
    with database.write() as tx:
        tx.keeping.clear_signed()
        assert not tx.keeping.has_signed()
