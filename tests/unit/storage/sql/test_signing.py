"""Targets, roles and publications in SQL, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from gatehouse.core.errors import InternalError
from gatehouse.gate.ports import Publication
from gatehouse.storage.sql.database import SqlDatabase, SqlTransaction
from gatehouse.tuf.model import BinRef, Family, OfflineMetadata, OnlineRole, Target, TargetChange

NOW = datetime(2026, 11, 21, 12, 0, 0, 1, tzinfo=UTC)


def ref(index: int, family: Family = Family.FILES) -> BinRef:
    return BinRef(family=family, index=index)


def target(path: str, digit: str = "a", length: int = 1) -> Target:
    return Target(path=path, sha256=digit * 64, length=length)


def put(bin_ref: BinRef, path: str, digit: str = "a") -> tuple[BinRef, TargetChange]:
    return bin_ref, TargetChange(path=path, target=target(path, digit), cause="test")


def remove(bin_ref: BinRef, path: str) -> tuple[BinRef, TargetChange]:
    return bin_ref, TargetChange(path=path, target=None, cause="test")


def role(name: str, version: int = 1) -> OnlineRole:
    return OnlineRole(
        name=name,
        version=version,
        expires=NOW + timedelta(days=version),
        signatures=(("key1", "aa" * 64), ("key2", "bb" * 64)),
        sha256=f"{version:064x}",
        length=2**40,
    )


def publish(tx: SqlTransaction, version: int = 1) -> int:
    return tx.signing.add_publication(
        epoch=3,
        snapshot_version=version,
        timestamp_version=version,
        reason="changes",
        changes=2,
        roles=["snapshot", "files-bins-0"],
        at=NOW,
    )


class TestTargets:
    def test_a_bin_holds_its_targets_sorted_by_path(self, database: SqlDatabase) -> None:
        # In the order of their code points, which no language sorts by.
        paths = sorted(
            ["files/a/B-1.tar.gz", "files/a-b/a_1.zip", "files/a/a.1.zip", "files/a/A1.zip", "files/a0/x"]
        )
        with database.write() as tx:
            tx.signing.apply([put(ref(5), path) for path in reversed(paths)])
            tx.signing.apply([put(ref(5, Family.SIMPLE), "simple/a/index.html"), put(ref(6), "files/z/z")])
        with database.read() as tx:
            found = tx.signing.bins([ref(5), ref(9), ref(5, Family.SIMPLE)])
            assert found == {
                ref(5): [target(path) for path in paths],
                ref(9): [],
                ref(5, Family.SIMPLE): [target("simple/a/index.html")],
            }
            assert tx.signing.bins([]) == {}
            assert tx.signing.count_targets() == 7

    def test_the_last_change_of_a_path_wins(self, database: SqlDatabase) -> None:
        with database.write() as tx:
            tx.signing.apply([])
            tx.signing.apply([put(ref(1), "a", "1"), put(ref(1), "b", "1"), put(ref(1), "c", "1")])
            tx.signing.apply(
                [
                    remove(ref(1), "a"),
                    put(ref(1), "a", "2"),
                    put(ref(1), "b", "2"),
                    remove(ref(1), "b"),
                    put(ref(1), "c", "2"),
                    put(ref(1), "c", "3"),
                    remove(ref(1), "never there"),
                ]
            )
            assert tx.signing.bins([ref(1)]) == {ref(1): [target("a", "2"), target("c", "3")]}

    def test_a_target_is_found_in_its_bin_alone(self, database: SqlDatabase) -> None:
        with database.write() as tx:
            tx.signing.apply([put(ref(1), "a")])
            assert tx.signing.find_target("a", ref(1)) == target("a")
            assert tx.signing.find_target("a", ref(2)) is None
            assert tx.signing.find_target("a", ref(1, Family.SIMPLE)) is None
            assert tx.signing.find_target("b", ref(1)) is None

    def test_more_bins_than_a_statement_takes_parameters(self, database: SqlDatabase) -> None:
        with database.write() as tx:
            tx.signing.apply([put(ref(number), f"path/{number}") for number in range(0, 40_000, 40)])
        with database.read() as tx:
            found = tx.signing.bins([ref(number) for number in range(40_000)])
        assert len(found) == 40_000
        assert sum(map(len, found.values())) == 1_000
        assert found[ref(39_960)] == [target("path/39960")]

    def test_a_bin_is_read_as_one_range_of_the_key(self, database: SqlDatabase) -> None:
        with database.engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SET enable_seqscan = off"))
                connection.execute(text("SET enable_bitmapscan = off"))
                explain = "EXPLAIN"
            else:
                explain = "EXPLAIN QUERY PLAN"
            query = "SELECT path, sha256, length FROM targets WHERE family = 1 AND bin IN (1, 2)"
            ordered = f"{explain} {query} ORDER BY family, bin, path"
            plan = " ".join(str(row) for row in connection.execute(text(ordered)))
        if explain == "EXPLAIN":
            assert "Index Only Scan using pk_targets" in plan
        else:
            assert "USING PRIMARY KEY (family=? AND bin=?)" in plan
            assert "TEMP B-TREE" not in plan

    def test_what_is_no_digest_is_refused(self, database: SqlDatabase) -> None:
        with pytest.raises(InternalError), database.write() as tx:
            tx.signing.apply([put(ref(1), "a", "A")])


class TestRoles:
    def test_offline_metadata_is_kept_whole_by_role_and_version(self, database: SqlDatabase) -> None:
        items = [
            OfflineMetadata(role="targets", version=1, data=b"\x00\xff{}"),
            OfflineMetadata(role="root", version=10, data=b"ten"),
            OfflineMetadata(role="root", version=9, data=b""),
        ]
        with database.write() as tx:
            tx.signing.add_offline_metadata([], at=NOW)
            tx.signing.add_offline_metadata(items, at=NOW)
        with database.read() as tx:
            assert tx.signing.offline_metadata() == [items[2], items[1], items[0]]

    def test_a_version_is_added_once_and_a_batch_whole_or_not(self, database: SqlDatabase) -> None:
        first = OfflineMetadata(role="root", version=1, data=b"one")
        with database.write() as tx:
            tx.signing.add_offline_metadata([first], at=NOW)
        again = [OfflineMetadata(role="root", version=2, data=b"two"), replace(first, data=b"other")]
        with pytest.raises(InternalError, match=r"1\.root\.json"), database.write() as tx:
            tx.signing.add_offline_metadata(again, at=NOW)
        with database.read() as tx:
            assert tx.signing.offline_metadata() == [first]

    def test_online_roles_are_replaced_by_name(self, database: SqlDatabase) -> None:
        with database.write() as tx:
            publication = publish(tx)
            tx.signing.put_online_roles([], publication_id=publication)
            tx.signing.put_online_roles([role("snapshot"), role("files-bins-0")], publication_id=publication)
            tx.signing.put_online_roles([role("snapshot", 2)], publication_id=publication)
        with database.read() as tx:
            found = tx.signing.online_roles()
            few = tx.signing.online_roles(only=("snapshot", "timestamp"))
        assert found == {"files-bins-0": role("files-bins-0"), "snapshot": role("snapshot", 2)}
        assert few == {"snapshot": role("snapshot", 2)}

    def test_a_role_belongs_to_a_publication(self, database: SqlDatabase) -> None:
        with pytest.raises(InternalError), database.write() as tx:
            tx.signing.put_online_roles([role("snapshot")], publication_id=77)


class TestPublications:
    def test_a_publication_is_committed_and_then_published(self, database: SqlDatabase) -> None:
        with database.write() as tx:
            assert tx.signing.unpublished() is None
            assert tx.signing.last_publication() is None
            number = publish(tx)
        committed = Publication(
            id=number,
            epoch=3,
            snapshot_version=1,
            timestamp_version=1,
            reason="changes",
            changes=2,
            committed_at=NOW,
            published_at=None,
            roles=("snapshot", "files-bins-0"),
        )
        with database.write() as tx:
            assert tx.signing.unpublished() == tx.signing.last_publication() == committed
            tx.signing.mark_published(number, at=NOW)
            tx.signing.mark_published(number, at=NOW + timedelta(hours=1))
        with database.read() as tx:
            assert tx.signing.unpublished() is None
            assert tx.signing.last_publication() == replace(committed, published_at=NOW)

    def test_no_second_one_begins_before_the_first_is_published(self, database: SqlDatabase) -> None:
        with database.write() as tx:
            first = publish(tx)
        with pytest.raises(InternalError, match="not published"), database.write() as tx:
            publish(tx, 2)
        with database.write() as tx:
            tx.signing.mark_published(first, at=NOW)
            second = publish(tx, 2)
            last = tx.signing.last_publication()
        assert last is not None
        assert last.id == second > first

    def test_a_timestamp_version_is_never_used_twice(self, database: SqlDatabase) -> None:
        with database.write() as tx:
            tx.signing.mark_published(publish(tx), at=NOW)
        with pytest.raises(InternalError), database.write() as tx:
            publish(tx)
