"""The database's signing state comes back from the store, clients go on, and what waited is published next."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gatehouse.cli import main
from gatehouse.core.errors import StoreError
from gatehouse.gate.keep.rebuild import CannotRebuild
from gatehouse.gate.keep.stored import Unproved
from gatehouse.storage.sql.database import SqlDatabase
from gatehouse.storage.sql.migrate import upgrade
from gatehouse.tuf.model import Target, TargetChange
from gatehouse.wiring import build_publisher
from tests.support.house import HandClock, House, house
from tests.support.keeping import damage, faults, metadata, rebuilder, restored, stored, trusted_root
from tests.support.tuf_client import Client

WHEEL = "example-1.0-py3-none-any.whl"
PATHS = ("simple/example/index.html", "simple/example/index.v1.json", f"files/example/{WHEEL}")


@pytest.fixture
def full(home: House) -> House:
    home.wheel()
    home.work()
    return home


def append(home: House, path: str, content: bytes | None) -> None:
    """Journal a change of a file."""
    target = None if content is None else Target(path=path, sha256=f"{content[0]:064x}", length=len(content))
    with home.gatehouse.database.write() as transaction:
        ref = home.gatehouse.trust.state(transaction).layout.bin_of(path)
        change = TargetChange(path=path, target=target, cause="published")
        transaction.journal.append([(ref, change)], at=home.gatehouse.clock.now())


def state(database: SqlDatabase) -> dict[str, Any]:
    """What a rebuild must bring back."""
    with database.read() as transaction:
        offline = transaction.signing.offline_metadata()
        online = transaction.signing.online_roles()
    with database.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT family, bin, path, sha256, length FROM targets ORDER BY 1, 2, 3")
        targets = [(*row[:3], bytes(row[3]), row[4]) for row in rows]
    return {"offline": offline, "online": online, "targets": targets}


def go_on(home: House) -> None:
    """A publisher starts and publishes what waits."""
    heir = build_publisher(home.gatehouse)
    assert heir.start()
    while heir.publish() is not None:
        pass
    heir.stop()


class TestEmpty:
    """A database that was lost is made again, on both kinds."""

    @pytest.fixture
    def empty(self, database: SqlDatabase) -> SqlDatabase:
        return database

    def test_everything_signed_comes_back_byte_for_byte(self, full: House, empty: SqlDatabase) -> None:
        before = stored(full)
        done = rebuilder(full, empty)(trusted_root(full))
        assert state(empty) == state(full.gatehouse.database)
        assert stored(full) == before, "the store is read and never written"
        assert (done.targets, done.roles, done.snapshot_version) == (3, 6, 2)
        assert (done.unknown_files, done.unknown_pages) == (1, 2)
        with empty.read() as transaction:
            last = transaction.signing.last_publication()
            assert last is not None
            assert (last.reason, last.timestamp_version) == ("rebuilt from the store", 2)
            assert transaction.signing.unpublished() is None

    def test_it_is_not_done_twice(self, full: House, empty: SqlDatabase) -> None:
        rebuilder(full, empty)(trusted_root(full))
        before = state(empty)
        with pytest.raises(CannotRebuild, match="--replace"):
            rebuilder(full, empty)(trusted_root(full))
        assert state(empty) == before


def test_a_lost_database_comes_back_and_clients_that_hold_the_latest_state_go_on(
    full: House, tmp_path: Path
) -> None:
    client = Client(full.gatehouse, tmp_path / "resting")
    client.get(*PATHS)
    full.publisher.stop()
    settings = full.gatehouse.settings
    full.gatehouse.database.close()
    for path in settings.home.glob("gatehouse.db*"):
        path.unlink()
    result = CliRunner().invoke(
        main,
        ["tuf", "rebuild", "--from-store", "--root", str(metadata(full) / "1.root.json")],
        env={"GATEHOUSE_HOME": str(settings.home)},
    )
    assert result.exit_code == 0, result.output
    assert "Rebuilt snapshot 2 and timestamp 2" in result.output
    assert "does not know 1 files and 2 pages" in result.output
    assert faults(full, with_blobs=False) == []
    append(full, "files/another/another-1.0.tar.gz", b"x")
    go_on(full)
    assert client.knows("files/another/another-1.0.tar.gz")
    assert client.knows(PATHS[0])


class TestRestored:
    """A backup was restored: the store is ahead, and has already some of what the restored journal waits for."""

    def test_the_rebuilt_database_goes_on_from_what_clients_hold(
        self, full: House, clock: HandClock, tmp_path: Path
    ) -> None:
        client = Client(full.gatehouse, tmp_path / "client")

        def meanwhile() -> None:
            full.wheel("example", "2.0")
            full.wheel("later")
            full.work()
            client.get(*PATHS)

        restored(full, meanwhile)
        with pytest.raises(StoreError, match="gatehouse tuf rebuild"):
            build_publisher(full.gatehouse).start()
        clock.advance(timedelta(minutes=1))
        epoch = full.gatehouse.metadata_store.epoch()
        done = rebuilder(full)(trusted_root(full), replace=True)
        assert done.epoch > epoch
        assert (done.unknown_files, done.unknown_pages) == (2, 2)
        assert faults(full) == []
        append(full, "files/another/another-1.0.tar.gz", b"x")
        go_on(full)
        assert client.knows("files/another/another-1.0.tar.gz")
        assert client.get(*PATHS)[PATHS[2]] is not None
        # The page that is served is the page that is signed, although the restored catalog had an older one.
        served = full.gatehouse.shelf.page("example", "html")
        assert served is not None
        with full.gatehouse.blobs.open(served.sha256) as blob:
            assert b"example-2.0" in blob.read()

    def test_entries_that_the_store_shows_are_covered_and_the_others_wait(self, full: House) -> None:
        shown, changed, removed, later = (f"files/p/{name}-1.0.tar.gz" for name in "abcd")
        append(full, removed, b"r")
        full.publish()
        append(full, shown, b"1")
        append(full, changed, b"1")
        append(full, changed, b"2")
        append(full, changed, b"3")
        append(full, removed, None)

        def meanwhile() -> None:
            # Of the three changes of one path the store shows the second; then more is published.
            full.publisher.batch = 3
            full.publisher.publish()
            append(full, later, b"1")

        restored(full, meanwhile)
        done = rebuilder(full)(trusted_root(full), replace=True)
        assert (done.covered, done.waiting) == (3, 2)
        with full.gatehouse.database.read() as transaction:
            waiting = [(entry.change.path, entry.change.target) for entry in transaction.journal.pending(limit=9)]
            last = transaction.signing.last_publication()
        assert [path for path, _ in waiting] == [changed, removed]
        assert last is not None
        assert last.changes == 3
        assert faults(full, with_blobs=False) == []
        go_on(full)
        with full.gatehouse.database.read() as transaction:
            layout = full.gatehouse.trust.state(transaction).layout
            found = {
                path: transaction.signing.find_target(path, layout.bin_of(path)) for path in (changed, removed)
            }
        assert found[removed] is None
        assert found[changed] == waiting[0][1]

    def test_a_publication_that_the_backup_had_half_done_counts_as_done(self, full: House) -> None:
        append(full, "files/p/a-1.0.tar.gz", b"1")
        full.publish()
        damage(full, "DROP TRIGGER publications_no_update")
        damage(full, "UPDATE publications SET published_at = NULL WHERE id = (SELECT max(id) FROM publications)")

        def meanwhile() -> None:
            damage(full, "UPDATE publications SET published_at = committed_at WHERE published_at IS NULL")
            append(full, "files/p/b-1.0.tar.gz", b"1")
            full.publish()

        restored(full, meanwhile)
        rebuilder(full)(trusted_root(full), replace=True)
        with full.gatehouse.database.read() as transaction:
            assert transaction.signing.unpublished() is None
        go_on(full)

    def test_without_replace_nothing_is_written_over(self, full: House) -> None:
        def meanwhile() -> None:
            full.wheel("later")
            full.work()

        restored(full, meanwhile)
        before = state(full.gatehouse.database)
        with pytest.raises(CannotRebuild, match="--replace"):
            rebuilder(full)(trusted_root(full))
        assert state(full.gatehouse.database) == before


def test_targets_that_were_changed_by_hand_are_mended_from_the_store(full: House) -> None:
    damage(full, "UPDATE targets SET length = length + 1")
    assert faults(full)
    full.publisher.stop()
    rebuilder(full)(trusted_root(full), replace=True)
    assert faults(full) == []
    full.wheel("another")
    full.screen()
    go_on(full)
    assert faults(full) == []


def test_imported_targets_that_only_the_database_has_are_not_lost(full: House) -> None:
    target = Target(path="files/p/p-1.0.tar.gz", sha256="cd" * 32, length=3)
    full.publisher.stop()
    with full.gatehouse.database.write() as transaction:
        ref = full.gatehouse.trust.state(transaction).layout.bin_of(target.path)
        transaction.signing.load_targets({ref: [(target.path, bytes.fromhex(target.sha256), 3)]})
    with pytest.raises(CannotRebuild, match="Imported targets wait"):
        rebuilder(full)(trusted_root(full), replace=True)
    assert faults(full, with_blobs=False) == []
    go_on(full)
    with full.gatehouse.database.read() as transaction:
        assert transaction.signing.find_target(target.path, ref) == target
    assert faults(full, with_blobs=False) == []


def test_a_database_that_is_ahead_is_not_set_back(full: House) -> None:
    old = (metadata(full) / "timestamp.json").read_bytes()
    full.wheel("another")
    full.work()
    full.publisher.stop()
    (metadata(full) / "timestamp.json").write_bytes(old)
    with pytest.raises(CannotRebuild, match="start the publisher"):
        rebuilder(full)(trusted_root(full), replace=True)


def test_a_publisher_at_work_keeps_a_rebuild_away(full: House) -> None:
    with pytest.raises(CannotRebuild, match="stop it first"):
        rebuilder(full)(trusted_root(full), replace=True)


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path / "stranger", own_keys=True) as opened:
        yield opened


def test_a_store_of_another_root_is_not_believed(full: House, stranger: House, database: SqlDatabase) -> None:
    with pytest.raises(Unproved, match="not the trusted root"):
        rebuilder(full, database)(trusted_root(stranger))


def test_a_store_of_another_repository_is_not_put_into_a_database(full: House, stranger: House) -> None:
    stranger.publisher.stop()
    with pytest.raises(CannotRebuild, match="two repositories"):
        rebuilder(full, stranger.gatehouse.database)(trusted_root(full), replace=True)


@pytest.mark.parametrize("name", ["timestamp.json", "2.snapshot.json", "1.files-bins.json", "bin"])
@pytest.mark.parametrize("how", ["cut", "altered", "gone"])
def test_what_does_not_verify_is_not_believed_and_leaves_the_database_as_it_was(
    full: House, sqlite_database: SqlDatabase, name: str, how: str
) -> None:
    path = metadata(full) / name
    if name == "bin":
        path = next(path for path in metadata(full).glob("*.files-bin-*.json") if WHEEL in path.read_text())
    if how == "gone":
        path.unlink()
    else:
        data = path.read_bytes()
        path.write_bytes(data[:-30] if how == "cut" else data.replace(b'"expires":"2', b'"expires":"3'))
    with pytest.raises(Unproved) as refused:
        rebuilder(full, sqlite_database)(trusted_root(full) if name != "1.root.json" else b"")
    assert path.name.split(".")[1].removesuffix(".json") in refused.value.message
    assert state(sqlite_database) == {"offline": [], "online": {}, "targets": []}


def test_an_embedded_home_in_use_is_left_alone(full: House, tmp_path: Path) -> None:
    del tmp_path
    from gatehouse.home import owned  # noqa: PLC0415

    with owned(full.gatehouse.settings.home):
        result = CliRunner().invoke(
            main,
            ["tuf", "rebuild", "--from-store", "--replace"],
            env={"GATEHOUSE_HOME": str(full.gatehouse.settings.home)},
        )
    assert result.exit_code == 2
    assert "serves from" in result.output


def test_the_schema_is_brought_up_first(tmp_path: Path, full: House) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    upgrade(url)
    database = SqlDatabase(url)
    try:
        assert rebuilder(full, database)(trusted_root(full)).targets == 3
    finally:
        database.close()
