"""The journal in SQL, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gatehouse.core.errors import InternalError
from gatehouse.gate.ports import Covering, JournalEntry, RefusedChange
from gatehouse.storage.sql.database import SqlDatabase, SqlTransaction
from gatehouse.tuf.model import BinRef, Family, Target, TargetChange

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
BIN = BinRef(family=Family.FILES, index=7)


def put(path: str, digit: str = "a") -> tuple[BinRef, TargetChange]:
    return BIN, TargetChange(path=path, target=Target(path=path, sha256=digit * 64, length=9), cause="upload")


def remove(path: str) -> tuple[BinRef, TargetChange]:
    return BIN, TargetChange(path=path, target=None, cause="removal")


def publish(tx: SqlTransaction, version: int = 1) -> int:
    return tx.signing.add_publication(
        epoch=1,
        snapshot_version=version,
        timestamp_version=version,
        reason="test",
        changes=1,
        roles=["snapshot"],
        at=NOW,
    )


def paths(entries: list[JournalEntry]) -> list[str]:
    return [entry.change.path for entry in entries]


def test_changes_wait_in_the_order_in_which_they_were_appended(database: SqlDatabase) -> None:
    changes = [put("b"), put("a"), remove("b"), put("b", "c")]
    with database.write() as tx:
        tx.journal.append([], at=NOW)
        tx.journal.append(changes[:3], at=NOW)
    with database.write() as tx:
        tx.journal.append(changes[3:], at=NOW)
    with database.read() as tx:
        found = tx.journal.pending(limit=10)
        assert [(entry.bin, entry.change) for entry in found] == changes
        assert {entry.at for entry in found} == {NOW}
        assert [entry.id for entry in found] == sorted(entry.id for entry in found)
        assert tx.journal.pending(limit=2) == found[:2]
        assert tx.journal.count_pending() == 4


def test_what_a_publication_took_waits_no_longer(database: SqlDatabase) -> None:
    with database.write() as tx:
        tx.journal.append([put("a"), put("b"), put("c")], at=NOW)
        publication = publish(tx)
        entries = tx.journal.pending(limit=10)
        tx.journal.assign([entries[2].id, entries[0].id], publication)
        assert paths(tx.journal.pending(limit=10)) == ["b"]
        assert tx.journal.count_pending() == 1
        assert tx.journal.taken_by(publication) == [entries[0], entries[2]]
        assert tx.journal.taken_by(publication + 1) == []


def test_an_entry_is_taken_once(database: SqlDatabase) -> None:
    with database.write() as tx:
        tx.journal.append([put("a")], at=NOW)
        first = publish(tx)
        tx.signing.mark_published(first, at=NOW)
        second = publish(tx, 2)
        ids = [entry.id for entry in tx.journal.pending(limit=1)]
        tx.journal.assign(ids, first)
    with pytest.raises(InternalError, match="1 journal entries and 0"), database.write() as tx:
        tx.journal.assign(ids, second)
    with pytest.raises(InternalError), database.write() as tx:
        tx.journal.assign([10**9], second)


def test_many_entries_are_taken_at_once(database: SqlDatabase) -> None:
    with database.write() as tx:
        tx.journal.append([put(f"path/{number}") for number in range(1_200)], at=NOW)
        publication = publish(tx)
        tx.journal.assign([entry.id for entry in tx.journal.pending(limit=2_000)], publication)
        assert len(tx.journal.taken_by(publication)) == 1_200
        assert tx.journal.count_pending() == 0


def test_what_was_ever_held_is_remembered(database: SqlDatabase) -> None:
    with database.write() as tx:
        tx.journal.append([put("a", "1"), put("a", "2"), remove("a"), put("b", "3")], at=NOW)
        assert tx.journal.ever_held("a", "1" * 64)
        assert tx.journal.ever_held("a", "2" * 64)
        assert not tx.journal.ever_held("a", "3" * 64)
        for no_digest in ("", "1", "A" * 64, "../x", "1" * 65):
            assert not tx.journal.ever_held("a", no_digest)


def test_an_entry_that_commits_late_is_not_lost(postgres_database: SqlDatabase) -> None:
    """On PostgreSQL the lower number can become visible after the higher one was taken."""
    database = postgres_database
    with database.write() as slow:
        slow.journal.append([put("slow")], at=NOW)
        with database.write() as fast:
            fast.journal.append([put("fast")], at=NOW)
        with database.write() as publisher:
            (taken,) = publisher.journal.pending(limit=10)
            assert taken.change.path == "fast"
            publisher.journal.assign([taken.id], publish(publisher))
    with database.read() as tx:
        (late,) = tx.journal.pending(limit=10)
        assert late.change.path == "slow"
        assert late.id < taken.id


def test_what_was_refused_waits_no_longer_and_says_why(database: SqlDatabase) -> None:
    with database.write() as tx:
        tx.journal.append([put("a"), put("b"), put("c")], at=NOW)
        entries = tx.journal.pending(limit=10)
        tx.journal.refuse({}, at=NOW)
        tx.journal.refuse({entries[2].id: "no good", entries[0].id: "nor this"}, at=NOW)
        tx.journal.refuse({entries[0].id: "another reason"}, at=LATER)
    with database.read() as tx:
        assert paths(tx.journal.pending(limit=10)) == ["b"]
        assert tx.journal.count_pending() == 1
        assert tx.journal.count_refused() == 2
        assert tx.journal.refused(limit=10) == [
            RefusedChange(entry=entries[2], reason="no good", at=NOW),
            RefusedChange(entry=entries[0], reason="nor this", at=NOW),
        ]
        assert len(tx.journal.refused(limit=1)) == 1


def test_the_newest_change_of_a_path_tells_how_far_it_has_come(database: SqlDatabase) -> None:
    with database.write() as tx:
        assert tx.journal.covering("a") is None
        tx.journal.append([put("a"), put("b"), put("a", "c")], at=NOW)
        first, other, newest = tx.journal.pending(limit=10)
        publication = publish(tx)
        tx.journal.assign([first.id], publication)
        assert tx.journal.covering("a") == Covering(entry=newest, publication=None, refused=None)
        tx.journal.assign([newest.id], publication)
        tx.journal.refuse({other.id: "no good"}, at=NOW)
        assert tx.journal.covering("b") == Covering(entry=other, publication=None, refused="no good")
        covering = tx.journal.covering("a")
        assert covering is not None
        assert covering.entry == newest
        assert covering.publication is not None
        assert covering.publication == tx.signing.unpublished()
        tx.signing.mark_published(publication, at=LATER)
        covering = tx.journal.covering("a")
        assert covering is not None
        assert covering.publication is not None
        assert covering.publication.published_at == LATER
