"""TUF metadata in a folder: what a folder adds to the contract of every store (test_metadata_contract.py)."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatehouse.core.errors import StoreError
from gatehouse.storage.blobs import durable
from gatehouse.storage.blobs.metadata import FolderMetadataStore
from tests.support.faults import failing
from tests.support.metadata_places import NO_NAMES


@pytest.fixture
def root(metadata_store: FolderMetadataStore, tmp_path: Path) -> Path:
    del metadata_store
    return tmp_path / "metadata"


def names(store: FolderMetadataStore) -> list[str]:
    return sorted(file.name for file in store.files())


def scratch(root: Path) -> set[str]:
    return {path.name for path in (root / ".store").iterdir()} - {"pointer.lock", "create.lock", "epoch"}


class TestCreating:
    def test_files_are_created_and_read(self, metadata_store: FolderMetadataStore, root: Path) -> None:
        files = {"1.root.json": b"root", "12.files-bins-0a3f.json": b"", "000000000001.a.json": b"x"}
        metadata_store.create(iter(files.items()))
        assert {name: metadata_store.read(name) for name in files} == files
        assert names(metadata_store) == sorted(files)
        assert {(root / name).stat().st_mode & 0o777 for name in files} == {0o644}
        assert scratch(root) == set()

    def test_other_content_is_refused_and_no_file_of_that_call_appears(
        self, metadata_store: FolderMetadataStore, root: Path
    ) -> None:
        metadata_store.create([("2.root.json", b"two")])
        with pytest.raises(StoreError, match=r"2\.root\.json exists with other content"):
            metadata_store.create([("1.root.json", b"one"), ("2.root.json", b"other"), ("3.root.json", b"three")])
        assert names(metadata_store) == ["2.root.json"]
        assert metadata_store.read("2.root.json") == b"two"
        assert scratch(root) == set()

    def test_one_name_with_two_contents_is_refused(self, metadata_store: FolderMetadataStore) -> None:
        with pytest.raises(StoreError, match="twice"):
            metadata_store.create([("1.root.json", b"one"), ("1.root.json", b"other")])
        assert names(metadata_store) == []

    @pytest.mark.parametrize("name", [*NO_NAMES, "timestamp.json"])
    def test_only_versioned_names_are_created(
        self, metadata_store: FolderMetadataStore, root: Path, name: str
    ) -> None:
        with pytest.raises(StoreError, match="not the name"):
            metadata_store.create([("1.root.json", b"one"), (name, b"bad")])
        assert names(metadata_store) == []
        assert scratch(root) == set()
        assert sorted(path.name for path in root.parent.iterdir()) == ["metadata"]

    def test_a_link_is_not_followed(self, metadata_store: FolderMetadataStore, root: Path) -> None:
        (root.parent / "secret").write_bytes(b"secret")
        (root / "1.root.json").symlink_to(root.parent / "secret")
        with pytest.raises(StoreError):
            metadata_store.read("1.root.json")

    @pytest.mark.parametrize("can", [True, False])
    def test_many_files_are_made_durable_at_once_or_one_by_one(
        self,
        metadata_store: FolderMetadataStore,
        monkeypatch: pytest.MonkeyPatch,
        can: bool,  # noqa: FBT001 a parameter of the test
    ) -> None:
        if not can:
            monkeypatch.setattr(durable, "sync_file_system", lambda _: False)
        files = {f"1.bins-{number:04x}.json": str(number).encode() for number in range(300)}
        metadata_store.create(files.items())
        assert {name: metadata_store.read(name) for name in names(metadata_store)} == files


class TestStaging:
    def test_a_file_that_was_staged_is_named_and_not_written_again(
        self, metadata_store: FolderMetadataStore, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with metadata_store.staging() as stage:
            stage("1.root.json", b"one")
            stage("2.root.json", b"two")
            with failing(monkeypatch, "write", errno.EIO):
                metadata_store.create([("1.root.json", b"one")])
            assert names(metadata_store) == ["1.root.json"]
            assert scratch(root) != set()
        assert (root / "1.root.json").stat().st_nlink == 1
        assert (root / "1.root.json").stat().st_mode & 0o777 == 0o644
        assert scratch(root) == set()

    def test_a_disk_that_is_full_while_staging_is_one_error_and_leaves_nothing(
        self, metadata_store: FolderMetadataStore, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def stage_one() -> None:
            with metadata_store.staging() as stage, failing(monkeypatch, "write", errno.ENOSPC):
                stage("1.root.json", b"one")

        with pytest.raises(StoreError, match="cannot be created: no space is left"):
            stage_one()
        assert scratch(root) == set()
        with metadata_store.staging() as stage, pytest.raises(StoreError, match="not the name"):
            stage("../1.root.json", b"bad")
        assert names(metadata_store) == []


class TestFencing:
    def test_the_timestamp_is_moved(self, metadata_store: FolderMetadataStore, root: Path) -> None:
        assert metadata_store.read("timestamp.json") is None
        metadata_store.fence(3)
        metadata_store.move_timestamp(b"one", epoch=3)
        metadata_store.move_timestamp(b"two", epoch=3)
        assert metadata_store.read("timestamp.json") == b"two"
        assert names(metadata_store) == ["timestamp.json"]
        assert (root / "timestamp.json").stat().st_mode & 0o777 == 0o644

    @pytest.mark.parametrize("content", [b"", b"many", b"1.5", b"\xff"])
    def test_a_damaged_epoch_stops_everything(
        self, metadata_store: FolderMetadataStore, root: Path, content: bytes
    ) -> None:
        metadata_store.move_timestamp(b"old", epoch=1)
        (root / ".store" / "epoch").write_bytes(content)
        with pytest.raises(StoreError, match="epoch"):
            metadata_store.move_timestamp(b"new", epoch=9)
        with pytest.raises(StoreError, match="epoch"):
            metadata_store.fence(9)
        assert metadata_store.read("timestamp.json") == b"old"


class TestFullAndBrokenDisks:
    @pytest.mark.parametrize(
        ("call", "after"), [("write", 0), ("write", 1), ("fsync", 0), ("fsync", 1), ("link", 0)]
    )
    def test_a_failed_creation_is_one_error_and_is_done_again(
        self,
        metadata_store: FolderMetadataStore,
        root: Path,
        monkeypatch: pytest.MonkeyPatch,
        call: str,
        after: int,
    ) -> None:
        files = [("1.root.json", b"one"), ("1.targets.json", b"two")]
        with failing(monkeypatch, call, errno.ENOSPC, after=after), pytest.raises(StoreError, match="no space"):
            metadata_store.create(files)
        assert names(metadata_store) == []
        assert scratch(root) == set()
        metadata_store.create(files)
        assert names(metadata_store) == ["1.root.json", "1.targets.json"]

    @pytest.mark.parametrize("call", ["write", "fsync", "fchmod"])
    def test_a_failed_move_leaves_the_old_timestamp_whole(
        self,
        metadata_store: FolderMetadataStore,
        root: Path,
        monkeypatch: pytest.MonkeyPatch,
        call: str,
    ) -> None:
        metadata_store.move_timestamp(b"old", epoch=1)
        with failing(monkeypatch, call, errno.ENOSPC), pytest.raises(StoreError, match="no space"):
            metadata_store.move_timestamp(b"new", epoch=1)
        assert metadata_store.read("timestamp.json") == b"old"
        assert scratch(root) == set()
        metadata_store.move_timestamp(b"new", epoch=1)
        assert metadata_store.read("timestamp.json") == b"new"

    def test_a_fence_that_cannot_be_kept_is_an_error(
        self, metadata_store: FolderMetadataStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with failing(monkeypatch, "write", errno.EROFS), pytest.raises(StoreError, match="read-only"):
            metadata_store.fence(1)


class TestCrashes:
    def test_what_a_crash_left_is_ignored_and_swept(self, metadata_store: FolderMetadataStore, root: Path) -> None:
        left = root / ".store" / "new-0123"
        left.mkdir()
        (left / "1.root.json").write_bytes(b"half")
        (root / ".store" / "timestamp.new").write_bytes(b"half")
        (root / ".store" / "epoch.new").write_bytes(b"99")
        metadata_store.create([("1.root.json", b"whole")])
        metadata_store.move_timestamp(b"whole", epoch=1)
        assert metadata_store.read("1.root.json") == metadata_store.read("timestamp.json") == b"whole"
        metadata_store.probe()
        assert scratch(root) == set()

    def test_a_sweep_spares_a_creation_that_runs(self, metadata_store: FolderMetadataStore, root: Path) -> None:
        def files() -> Iterator[tuple[str, bytes]]:
            yield "1.root.json", b"one"
            assert scratch(root) != set()
            assert FolderMetadataStore(root).sweep() == 0
            yield "2.root.json", b"two"

        metadata_store.create(files())
        assert names(metadata_store) == ["1.root.json", "2.root.json"]
        assert metadata_store.sweep() == 0

    def test_bytes_are_durable_before_names_and_names_before_success(
        self, metadata_store: FolderMetadataStore, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        acts: list[str] = []
        real_fsync, real_link = os.fsync, os.link

        def fsync(descriptor: int) -> None:
            acts.append("sync " + Path(f"/proc/self/fd/{descriptor}").readlink().name)
            real_fsync(descriptor)

        def link(source: Path, target: Path) -> None:
            acts.append("link " + target.name)
            real_link(source, target)

        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(os, "link", link)
        metadata_store.create([("1.root.json", b"one"), ("2.root.json", b"two")])
        assert acts == [
            "sync 1.root.json",
            "sync 2.root.json",
            "link 1.root.json",
            "link 2.root.json",
            f"sync {root.name}",
        ]


class TestProbing:
    def test_a_good_folder_passes_and_nothing_stays(self, metadata_store: FolderMetadataStore, root: Path) -> None:
        metadata_store.move_timestamp(b"old", epoch=1)
        metadata_store.probe()
        assert names(metadata_store) == ["timestamp.json"]
        assert scratch(root) == set()
        metadata_store.move_timestamp(b"new", epoch=1)

    def test_a_file_system_that_overwrites_is_refused(
        self, metadata_store: FolderMetadataStore, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def careless_link(source: Path, target: Path) -> None:
            target.write_bytes(Path(source).read_bytes())

        monkeypatch.setattr(os, "link", careless_link)
        with pytest.raises(StoreError, match="overwrites"):
            metadata_store.probe()
        assert names(metadata_store) == []
        assert scratch(root) == set()

    def test_a_file_system_without_links_is_refused(
        self, metadata_store: FolderMetadataStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with failing(monkeypatch, "link", errno.EPERM), pytest.raises(StoreError):
            metadata_store.probe()
        assert names(metadata_store) == []

    def test_a_file_system_without_locks_is_refused(
        self, metadata_store: FolderMetadataStore, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("gatehouse.storage.blobs.durable.fcntl.flock", lambda *_: None)
        with pytest.raises(StoreError, match="lock"):
            metadata_store.probe()
        assert scratch(root) == set()

    def test_a_store_that_forgets_its_fence_is_refused(
        self, metadata_store: FolderMetadataStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(FolderMetadataStore, "_fenced", lambda _: 0)
        with pytest.raises(StoreError, match="stale epoch"):
            metadata_store.probe()

    def test_a_full_disk_is_told(
        self, metadata_store: FolderMetadataStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with failing(monkeypatch, "write", errno.ENOSPC), pytest.raises(StoreError, match="no space"):
            metadata_store.probe()
