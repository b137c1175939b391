"""Targets loaded past the journal, dirty bins, and roles put together, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gatehouse.core.errors import Conflict, InternalError
from gatehouse.core.names import InvalidName
from gatehouse.gate.ports import RoleSummary
from gatehouse.storage.sql.database import SqlDatabase, SqlTransaction
from gatehouse.tuf.model import BinRef, Family, OfflineMetadata, OnlineRole, Target, TargetChange, TargetColumns
from gatehouse.tuf.render import entries, entries_of
from tests.support.targets import by_bin

NOW = datetime(2026, 11, 21, 12, 0, 0, 1, tzinfo=UTC)
ONE, OTHER, PAGES = (
    BinRef(family=Family.FILES, index=1),
    BinRef(family=Family.FILES, index=7),
    BinRef(family=Family.SIMPLE, index=1),
)


def target(path: str, digit: str = "a", length: int = 1) -> Target:
    return Target(path=path, sha256=digit * 64, length=length)


def publish(tx: SqlTransaction, version: int) -> int:
    return tx.signing.add_publication(
        epoch=1,
        snapshot_version=version,
        timestamp_version=version,
        reason="test",
        changes=0,
        roles=["files-bin-0"],
        at=NOW,
    )


def test_loaded_targets_are_there_and_their_bins_are_dirty(database: SqlDatabase) -> None:
    with database.write() as tx:
        tx.signing.load_targets({})
        tx.signing.load_targets(
            by_bin(
                [
                    (OTHER, target("files/b/b", "b", 2**40)),
                    (ONE, target("files/a/b")),
                    (PAGES, target("simple/a/x")),
                ]
            )
        )
    with database.write() as tx:
        # A path that is there already is replaced.
        tx.signing.load_targets(by_bin([(ONE, target("files/a/a", "c", 0)), (ONE, target("files/a/b", "d"))]))
    with database.read() as tx:
        assert tx.signing.bins([ONE, OTHER, PAGES]) == {
            PAGES: [target("simple/a/x")],
            ONE: [target("files/a/a", "c", 0), target("files/a/b", "d")],
            OTHER: [target("files/b/b", "b", 2**40)],
        }
        assert tx.signing.dirty_bins(limit=10) == {PAGES: 1, ONE: 2, OTHER: 1}
        assert list(tx.signing.dirty_bins(limit=1)) == [PAGES]
        assert tx.signing.dirty_marks([ONE, BinRef(family=Family.SIMPLE, index=9)]) == {ONE: 2}
        assert list(tx.signing.raw_targets([OTHER, ONE, BinRef(family=Family.FILES, index=5)])) == [
            (ONE, [("files/a/a", bytes.fromhex("cc" * 32), 0), ("files/a/b", bytes.fromhex("dd" * 32), 1)]),
            (OTHER, [("files/b/b", bytes.fromhex("bb" * 32), 2**40)]),
        ]


def test_raw_targets_come_in_the_order_of_their_code_points(database: SqlDatabase) -> None:
    paths = ["files/a/B-1.tar.gz", "files/a-b/a_1.zip", "files/a/a.1.zip", "files/a/A1.zip", "files/a0/x"]
    with database.write() as tx:
        tx.signing.load_targets(by_bin((ONE, target(path)) for path in paths))
        ((_, rows),) = tx.signing.raw_targets([ONE])
    assert [path for path, _, _ in rows] == sorted(paths)


def test_columns_are_what_the_rows_are(database: SqlDatabase) -> None:
    # In no order, of paths that other collations order otherwise, with digests that are no text.
    paths = ["files/a/B-1.tar.gz", "files/a-b/a_1.zip", "files/a/a.1.zip", "files/a/A1.zip", "files/a0/x"]
    digests = [f"{byte:02x}" * 32 for byte in (0, 0x27, 0x2C, 0x80, 0xFF)]
    rows = [
        (ONE, Target(path=path, sha256=digest, length=length))
        for path, digest, length in zip(paths, digests, (0, 1, 2**53, 77, 10), strict=True)
    ]
    with database.write() as tx:
        tx.signing.load_targets(by_bin([(OTHER, target("files/b/b")), *rows]))
        ((_, there),) = tx.signing.raw_targets([ONE])
        found = list(tx.signing.target_columns([OTHER, PAGES, ONE]))
    assert [ref for ref, _ in found] == [ONE, OTHER], "in order, and none that is empty"
    assert found[0][1] == TargetColumns.of(there)
    assert entries_of(found[0][1]) == entries(sorted(by_bin(rows)[ONE]))


def test_targets_that_are_touched_stay_as_they_are(database: SqlDatabase) -> None:
    with database.write() as tx:
        tx.signing.load_targets(by_bin([(ONE, target("files/a/a")), (PAGES, target("simple/a/x"))]))
    with database.read() as tx:
        # It reads, so that a transaction which refuses every write takes it; what is not there is no matter.
        tx.signing.touch_targets(
            [(PAGES, "simple/a/x"), (ONE, "files/a/a"), (ONE, 'files/"'), (OTHER, "files/b/b")]
        )
        assert tx.signing.bins([ONE, PAGES]) == {PAGES: [target("simple/a/x")], ONE: [target("files/a/a")]}
        assert tx.signing.count_targets() == 2


def test_many_changes_are_applied_as_few_are(database: SqlDatabase) -> None:
    old, new = ([target(f"files/a/a-{n}", digit, n) for n in range(100)] for digit in "ab")

    def change(item: Target, *, gone: bool = False) -> tuple[BinRef, TargetChange]:
        return ONE, TargetChange(path=item.path, target=None if gone else item, cause="test")

    with database.write() as tx:
        tx.signing.apply([change(item) for item in old])
        tx.signing.apply([change(item, gone=item.length % 3 == 0) for item in new[:50]])
        # The last change of a path wins, also where one of them removes it.
        tx.signing.apply([change(new[60]), change(old[60]), change(new[61], gone=True), change(new[61])])
        tx.signing.apply([])
        with pytest.raises(InvalidName, match="has characters outside"):
            tx.signing.apply([change(target("files/a/\x00"))])
        found = {item.path: item for item in tx.signing.bins([ONE])[ONE]}
    expected = [*(item for item in new[:50] if item.length % 3), *old[50:61], new[61], *old[62:]]
    assert found == {item.path: item for item in expected}


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ([(ONE, target("files/a/a")), (ONE, target("files/a/a", "b"))], InternalError, "stands twice"),
        ([(ONE, target('files/a/"'))], InvalidName, "has characters outside"),
        ([(ONE, target("files/a/a", length=-1))], InternalError, "refused a row"),
    ],
)
def test_a_batch_with_a_fault_leaves_nothing(
    database: SqlDatabase, rows: list[tuple[BinRef, Target]], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message), database.write() as tx:
        tx.signing.load_targets(by_bin([(OTHER, target("files/b/b")), *rows]))
    with database.read() as tx:
        assert tx.signing.count_targets() == 0
        assert tx.signing.dirty_bins(limit=10) == {}


def test_nothing_is_loaded_while_a_publication_is_half_way(database: SqlDatabase) -> None:
    with database.write() as tx:
        publication = publish(tx, 1)
    with pytest.raises(Conflict, match=f"Publication {publication} is not finished"), database.write() as tx:
        tx.signing.load_targets(by_bin([(ONE, target("files/a/a"))]))
    with database.write() as tx:
        tx.signing.mark_published(publication, at=NOW)
        tx.signing.load_targets(by_bin([(ONE, target("files/a/a"))]))


def test_a_bin_is_settled_only_under_the_mark_that_it_was_read_with(database: SqlDatabase) -> None:
    with database.write() as tx:
        assert tx.signing.settle_dirty({}) == []
        tx.signing.mark_dirty([])
        tx.signing.mark_dirty([ONE, OTHER])
        marks: dict[BinRef, int | None] = {**tx.signing.dirty_bins(limit=10), PAGES: None}
        tx.signing.mark_dirty([OTHER])
        assert tx.signing.settle_dirty(marks) == [OTHER]
        assert tx.signing.dirty_bins(limit=10) == {ONE: 1, OTHER: 2}, "nothing was changed"
        assert tx.signing.settle_dirty({**marks, OTHER: 2}) == []
        assert tx.signing.dirty_bins(limit=10) == {}
        # A mark where there was none counts as well.
        tx.signing.mark_dirty([PAGES])
        assert tx.signing.settle_dirty({PAGES: None}) == [PAGES]


def test_a_chunk_moves_no_timestamp_and_is_no_last_publication(database: SqlDatabase) -> None:
    with database.write() as tx:
        for _ in range(2):
            chunk = publish(tx, 0)
            found = tx.signing.unpublished()
            assert found is not None
            assert (found.id, found.snapshot_version, found.timestamp_version) == (chunk, 0, 0)
            tx.signing.mark_published(chunk, at=NOW)
        assert tx.signing.last_publication() is None
        real = publish(tx, 1)
        tx.signing.mark_published(real, at=NOW)
        tx.signing.mark_published(publish(tx, 0), at=NOW)
        last = tx.signing.last_publication()
        assert last is not None
        assert last.id == real


def test_roles_are_put_together_by_kind(database: SqlDatabase) -> None:
    def role(name: str, version: int) -> OnlineRole:
        return OnlineRole(
            name=name,
            version=version,
            expires=NOW + timedelta(days=version),
            signatures=(),
            sha256="0" * 64,
            length=1,
        )

    with database.write() as tx:
        assert tx.signing.role_summary() == []
        publication = publish(tx, 1)
        roles = [
            role(name, number)
            for number, name in enumerate(
                ("files-bin-1", "files-bin-0", "files-bin-00", "simple-bin-f", "snapshot", "timestamp"), start=1
            )
        ]
        tx.signing.put_online_roles(roles, publication_id=publication)

    def summary(first: str, version: int, count: int = 1, ends: int | None = None) -> RoleSummary:
        expires = NOW + timedelta(days=version if ends is None else ends)
        return RoleSummary(first=first, version=version, expires=expires, count=count)

    with database.read() as tx:
        assert tx.signing.role_summary() == [
            summary("files-bin-0", 2, count=2, ends=1),
            summary("files-bin-00", 3),
            summary("simple-bin-f", 4),
            summary("snapshot", 5),
            summary("timestamp", 6),
        ]


def test_added_offline_metadata_shows_without_being_read(database: SqlDatabase) -> None:
    item = OfflineMetadata(role="root", version=1, data=b"one")
    with database.write() as tx:
        assert tx.signing.offline_marker() == (0, 0)
        tx.signing.add_offline_metadata([item], at=NOW)
        one = tx.signing.offline_marker()
        tx.signing.add_offline_metadata([replace(item, version=2)], at=NOW + timedelta(hours=1))
        assert tx.signing.offline_marker() != one
        assert tx.signing.offline_added() == {("root", 1): NOW, ("root", 2): NOW + timedelta(hours=1)}
