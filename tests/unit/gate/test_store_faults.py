"""A store that fails, or loses and alters files, under a real publisher: one clear error, and then its repair."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from gatehouse import wiring
from gatehouse.core.errors import GatehouseError, StoreError
from gatehouse.storage.blobs import durable
from gatehouse.storage.s3.bucket import BotoBucket
from gatehouse.tuf.ports import MetadataStore
from gatehouse.wiring.keeping import build_prove
from tests.support.buckets import MemoryBucket, failing, new_prefix
from tests.support.crashes import Fuse, FusedDatabase, FusedStore, Pause
from tests.support.faults import failing as failing_call
from tests.support.house import House, house
from tests.support.targets import journal
from tests.support.tuf_client import Client

GOOD = "files/example/good-1.0.tar.gz"
LATER = "files/example/later-1.0.tar.gz"


def is_published(home: House, folder: Path, *paths: str) -> bool:
    """A new client finds them, and nothing is left to do."""
    client = Client(home.gatehouse, folder)
    with home.gatehouse.database.read() as transaction:
        unfinished = transaction.signing.unpublished()
    return unfinished is None and all(client.knows(path) for path in paths)


class _FailingStore(FusedStore):
    """A folder on which one kind of call meets a broken disk."""

    def __init__(
        self, store: MetadataStore, call: str, broken: Callable[[], AbstractContextManager[None]]
    ) -> None:
        super().__init__(store, Fuse(at=-1, after=False))
        self._call = call
        self._broken = broken

    def create(self, files: object) -> None:
        with self._broken() if self._call == "create" else nullcontext():
            self._store.create(files)  # type: ignore[arg-type] # handed on as it came

    def move_timestamp(self, data: bytes, *, epoch: int) -> None:
        with self._broken() if self._call == "move" else nullcontext():
            self._store.move_timestamp(data, epoch=epoch)


@pytest.mark.parametrize(
    ("call", "function", "error", "words"),
    [
        ("create", "write", errno.ENOSPC, "metadata cannot be created: no space is left on the disk"),
        ("create", "fsync", errno.EIO, "metadata cannot be created: the disk failed"),
        ("create", "link", errno.EROFS, "metadata cannot be created: the file system is read-only"),
        ("move", "write", errno.ENOSPC, "timestamp cannot be moved: no space is left on the disk"),
        ("move", "fsync", errno.EDQUOT, "timestamp cannot be moved: the disk quota is used up"),
        ("move", "fchmod", errno.EROFS, "timestamp cannot be moved: the file system is read-only"),
    ],
)
def test_a_disk_that_fails_is_one_error_each_time_and_the_publication_is_finished_when_it_works(  # noqa: PLR0917  a table
    home: House,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    function: str,
    error: int,
    words: str,
) -> None:
    before = home.gatehouse.metadata_store.read("timestamp.json")
    journal(home, GOOD)
    real = home.publisher.store
    home.publisher.store = _FailingStore(real, call, lambda: failing_call(monkeypatch, function, error))
    for _ in range(2):
        with pytest.raises(StoreError, match=words):
            home.publisher.publish()
        assert home.gatehouse.metadata_store.read("timestamp.json") == before, "clients see nothing of it"
        Client(home.gatehouse, tmp_path / "meanwhile").get()
    home.publisher.store = real
    journal(home, LATER)
    home.publish()
    assert is_published(home, tmp_path / "client", GOOD, LATER)


def test_a_timestamp_that_is_seen_although_its_move_failed_is_rolled_forward(home: House, tmp_path: Path) -> None:
    journal(home, GOOD)
    before = home.gatehouse.metadata_store.read("timestamp.json")

    def fail(_path: Path) -> None:
        raise OSError(errno.EIO, "the last sync")

    broken = pytest.MonkeyPatch.context
    real = home.publisher.store

    def syncing_fails() -> AbstractContextManager[None]:
        return _patched(broken(), fail)

    home.publisher.store = _FailingStore(real, "move", syncing_fails)
    with pytest.raises(StoreError, match="timestamp cannot be moved: the disk failed"):
        home.publisher.publish()
    seen = home.gatehouse.metadata_store.read("timestamp.json")
    assert seen != before
    client = Client(home.gatehouse, tmp_path / "early")
    assert client.knows(GOOD)
    home.publisher.store = real
    home.publish()
    assert home.gatehouse.metadata_store.read("timestamp.json") == seen, "the same publication, not another"
    journal(home, LATER)
    home.publish()
    assert client.knows(LATER)
    assert is_published(home, tmp_path / "client", GOOD, LATER)


class _patched(AbstractContextManager[None]):  # noqa: N801  a context, used like a function
    def __init__(self, context: AbstractContextManager[pytest.MonkeyPatch], fail: Callable[[Path], None]) -> None:
        self._context = context
        self._fail = fail

    def __enter__(self) -> None:
        self._context.__enter__().setattr(durable, "sync_folder", self._fail)

    def __exit__(self, *error: object) -> None:
        self._context.__exit__(None, None, None)


def test_a_read_only_store_lets_nobody_become_the_publisher_and_the_lease_is_free_for_another(
    home: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.publisher.stop()
    with (
        failing_call(monkeypatch, "open", errno.EROFS),
        pytest.raises(StoreError, match="the file system is read-only"),
    ):
        home.publisher.start()
    assert not home.publisher.at_work
    assert home.publisher.start()
    journal(home, GOOD)
    home.publish()
    assert is_published(home, tmp_path / "client", GOOD)


def start_and_publish(home: House) -> None:
    """As a server begins."""
    if not home.publisher.at_work:
        assert home.publisher.start()
    home.publish()


@pytest.mark.parametrize("running", [True, False], ids=["running", "restarted"])
@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        ("1.root.json", "missing", ""),
        ("1.root.json", "altered", r"1\.root\.json exists with other content"),
        ("1.targets.json", "missing", ""),
        ("timestamp.json", "missing", ""),
        ("timestamp.json", "altered", "timestamp.json that cannot be read: move it away"),
        ("2.snapshot.json", "missing", ""),
        ("2.snapshot.json", "altered", r"2\.snapshot\.json exists with other content"),
    ],
)
def test_files_that_go_or_change_under_the_publishers_feet_are_made_again_or_told_by_name(  # noqa: PLR0917  a table
    home: House,
    tmp_path: Path,
    name: str,
    damage: str,
    words: str,
    running: bool,  # noqa: FBT001 a table
) -> None:
    journal(home, GOOD)
    home.publish()
    file = home.gatehouse.settings.metadata_folder / name
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(b"altered" + file.read_bytes())
    if not running:
        home.publisher.stop()
        journal(home, LATER)
        if words:
            # What only a person can mend is not passed over: the file is moved away, and it is made anew.
            with pytest.raises(StoreError, match=words):
                start_and_publish(home)
            file.unlink()
        start_and_publish(home)
    journal(home, LATER)
    home.publish()
    if running and name not in ("timestamp.json", "2.snapshot.json"):
        # What only a start looks at is for `gatehouse tuf fsck` to find, and the next start to mend.
        file.unlink(missing_ok=True)
        home.publisher.stop()
        assert home.publisher.start()
        journal(home, "files/example/third-1.0.zip")
        home.publish()
    assert is_published(home, tmp_path / "client", GOOD, LATER)


def test_sessions_that_the_database_ends_between_two_writes_lose_nothing(
    postgres_url: str, postgres_admin: Connection, tmp_path: Path
) -> None:
    def end_sessions() -> None:
        postgres_admin.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
            "AND datname LIKE 'gatehouse_test_%%' AND backend_type = 'client backend'"
        )

    with house(tmp_path / "home", database_url=postgres_url) as home:
        paths = []
        for at in range(5):
            paths.append(f"files/example/file-{at}.zip")
            journal(home, paths[-1])
            pause = Pause(at=at, after=True, meanwhile=end_sessions)
            real = home.publisher.store
            home.publisher.database = FusedDatabase(home.gatehouse.database, pause)
            home.publisher.store = FusedStore(real, pause)
            for _ in range(3):
                try:
                    home.publish()
                    break
                except GatehouseError as error:
                    assert "\n" not in error.message  # noqa: PT017  sessions may be replaced unseen: no error is due
            else:
                raise AssertionError("the publisher does not recover")
            home.publisher.database, home.publisher.store = home.gatehouse.database, real
            assert pause.writes > at
        assert is_published(home, tmp_path / "client", *paths)


# --- the same in a bucket -------------------------------------------------------------------------


@pytest.fixture
def bucket() -> MemoryBucket:
    return MemoryBucket()


@pytest.fixture
def in_bucket(bucket: MemoryBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setattr(wiring, "BotoBucket", lambda *_, **__: bucket)
    with house(tmp_path / "home", metadata="s3://bucket/tuf") as opened:
        yield opened


@pytest.mark.parametrize("lost", [False, True], ids=["refused", "answer-lost"])
@pytest.mark.parametrize("kind", ["bin", "snapshot", "timestamp"])
def test_a_bucket_that_fails_is_one_error_and_the_publication_is_finished_when_it_works(
    in_bucket: House,
    bucket: MemoryBucket,
    tmp_path: Path,
    kind: str,
    lost: bool,  # noqa: FBT001 a table
) -> None:
    client = Client(in_bucket.gatehouse, tmp_path / "resting")
    client.get()
    journal(in_bucket, GOOD)
    fail = failing(lambda key: kind in key, "The metadata bucket cannot be written: the store does not answer.")
    if lost:
        bucket.after_put = fail
    else:
        bucket.before_put = fail
    with pytest.raises(StoreError, match="does not answer"):
        in_bucket.publisher.publish()
    client.get()
    bucket.before_put = bucket.after_put = lambda _key: None
    journal(in_bucket, LATER)
    in_bucket.publish()
    assert client.knows(LATER)
    assert is_published(in_bucket, tmp_path / "client", GOOD, LATER)


def test_a_bucket_that_ignores_conditions_lets_nobody_become_the_publisher(
    in_bucket: House, bucket: MemoryBucket
) -> None:
    in_bucket.publisher.stop()
    bucket.ignores = frozenset({"replace"})
    with pytest.raises(StoreError, match="ignores the conditions"):
        in_bucket.publisher.start()
    assert not in_bucket.publisher.at_work


def test_an_index_whose_metadata_lies_on_s3_publishes_serves_and_cleans_up(
    moto_bucket: BotoBucket, moto_server: str, tmp_path: Path
) -> None:
    prefix = new_prefix()
    place: dict[str, Any] = {
        "metadata": f"s3://{moto_bucket._name}/{prefix}/",
        "metadata_s3_endpoint": moto_server,
    }
    with house(tmp_path / "home", **place) as home:
        home.wheel()
        home.work()
        found = Client(home.gatehouse, tmp_path / "client").get("files/example/example-1.0-py3-none-any.whl")
        assert all(data is not None for data in found.values())
        assert (tmp_path / "home" / "tuf" / "1.root.json").read_bytes() == home.gatehouse.metadata_store.read(
            "1.root.json"
        )
        assert list((tmp_path / "home" / "tuf").iterdir()) == [tmp_path / "home" / "tuf" / "1.root.json"]
        assert list(build_prove(home.gatehouse)()) == []
        assert moto_bucket.get(f"{prefix}/timestamp.json") is not None
