"""Blobs in a folder: whole or not there, and only under their digest."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier

import pytest

from gatehouse.core.errors import InternalError, NotFound, StoreError
from gatehouse.storage.blobs.folder import FolderBlobs
from tests.support.faults import failing

DATA = b"some bytes"
SHA256 = hashlib.sha256(DATA).hexdigest()
NO_DIGESTS = [
    "",
    ".",
    "..",
    "incoming",
    SHA256[:-1],
    SHA256 + "0",
    SHA256 + "\n",
    SHA256.upper(),
    "../" + SHA256,
    "/" + SHA256[1:],
    "\x00" * 64,
    "٣" * 64,
    f"{SHA256[:2]}/{SHA256}",
]


def root_of(blobs: FolderBlobs) -> Path:
    return blobs.path_of(SHA256).parent.parent


def leftovers(blobs: FolderBlobs) -> list[Path]:
    return list((root_of(blobs) / "incoming").iterdir())


def read(blobs: FolderBlobs, sha256: str = SHA256) -> bytes:
    with blobs.open(sha256) as file:
        return file.read()


class TestKeeping:
    def test_bytes_are_kept_under_their_digest(self, blobs: FolderBlobs) -> None:
        assert blobs.put(DATA) == SHA256
        assert read(blobs) == DATA
        assert blobs.size(SHA256) == len(DATA)
        assert blobs.path_of(SHA256) == root_of(blobs) / SHA256[:2] / SHA256
        assert leftovers(blobs) == []

    def test_keeping_them_again_is_success(self, blobs: FolderBlobs) -> None:
        blobs.put(DATA)
        before = blobs.path_of(SHA256).stat()
        assert blobs.put(DATA) == SHA256
        assert blobs.path_of(SHA256).stat().st_ino == before.st_ino
        assert leftovers(blobs) == []

    def test_the_empty_blob_is_a_blob(self, blobs: FolderBlobs) -> None:
        assert read(blobs, blobs.put(b"")) == b""

    def test_everybody_may_read_a_blob_and_nobody_run_it(self, blobs: FolderBlobs) -> None:
        before = os.umask(0o077)
        try:
            blobs.put(DATA)
        finally:
            os.umask(before)
        assert stat.S_IMODE(blobs.path_of(SHA256).stat().st_mode) == 0o644

    def test_bytes_come_in_chunks_of_any_kind(self, blobs: FolderBlobs) -> None:
        with blobs.receive() as incoming:
            for chunk in (b"some", bytearray(b" "), memoryview(b"bytes"), b""):
                incoming.write(chunk)
            digests = incoming.finish()
            assert incoming.finish() == digests
            assert incoming.path.read_bytes() == DATA
            assert blobs.size(SHA256) is None
            incoming.keep()
            assert incoming.path.read_bytes() == DATA
        assert (digests.sha256, digests.length) == (SHA256, len(DATA))
        assert digests.md5 == hashlib.md5(DATA, usedforsecurity=False).hexdigest()
        assert read(blobs) == DATA

    def test_what_is_not_kept_leaves_nothing(self, blobs: FolderBlobs) -> None:
        with blobs.receive() as incoming:
            incoming.write(DATA)
            incoming.finish()
        with pytest.raises(TypeError), blobs.receive() as incoming:
            incoming.write("text")  # type: ignore[arg-type]  # the mistake that ends this upload
        assert leftovers(blobs) == []
        assert list(blobs) == []

    def test_the_order_of_calls_is_minded(self, blobs: FolderBlobs) -> None:
        with blobs.receive() as incoming:
            with pytest.raises(InternalError):
                incoming.keep()
            incoming.finish()
            with pytest.raises(InternalError):
                incoming.write(b"late")

    def test_many_threads_keep_the_same_bytes(self, blobs: FolderBlobs) -> None:
        together = Barrier(8)

        def put(_: int) -> str:
            together.wait()
            return blobs.put(DATA)

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(put, range(8))) == {SHA256}
        assert leftovers(blobs) == []

    def test_a_damaged_blob_is_told_and_not_taken_for_good(self, blobs: FolderBlobs) -> None:
        blobs.put(DATA)
        blobs.path_of(SHA256).write_bytes(DATA[:3])
        with pytest.raises(StoreError, match="damaged"):
            blobs.put(DATA)
        assert leftovers(blobs) == []

    def test_a_file_system_without_links_will_do(
        self, blobs: FolderBlobs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with failing(monkeypatch, "link", errno.EPERM), blobs.receive() as incoming:
            incoming.write(DATA)
            incoming.finish()
            incoming.keep()
            assert incoming.path.read_bytes() == DATA
        assert read(blobs) == DATA
        assert leftovers(blobs) == []


class TestReading:
    @pytest.mark.parametrize("name", NO_DIGESTS)
    def test_only_a_digest_is_a_name(self, blobs: FolderBlobs, name: str) -> None:
        blobs.put(DATA)
        with pytest.raises(NotFound):
            blobs.open(name)
        assert blobs.size(name) is None

    def test_an_unknown_blob_is_not_found(self, blobs: FolderBlobs) -> None:
        with pytest.raises(NotFound, match=SHA256):
            blobs.open(SHA256)
        assert blobs.size(SHA256) is None

    def test_a_link_is_not_followed(self, blobs: FolderBlobs, tmp_path: Path) -> None:
        (tmp_path / "secret").write_bytes(b"secret")
        blobs.put(DATA)
        blobs.path_of(SHA256).unlink()
        blobs.path_of(SHA256).symlink_to(tmp_path / "secret")
        with pytest.raises(StoreError):
            blobs.open(SHA256)

    def test_all_digests_are_listed_and_nothing_else(self, blobs: FolderBlobs) -> None:
        kept = {blobs.put(str(number).encode()) for number in range(50)}
        (root_of(blobs) / "README").write_text("not a blob")
        (blobs.path_of(next(iter(kept))).parent / "junk").write_text("not a blob")
        with blobs.receive() as incoming:
            incoming.write(b"on its way")
            assert list(blobs) == sorted(kept)


class TestFullAndBrokenDisks:
    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (errno.ENOSPC, "no space is left"),
            (errno.EDQUOT, "quota"),
            (errno.EROFS, "read-only"),
            (errno.EACCES, "may not"),
            (errno.EIO, "disk failed"),
            (errno.EBADF, "Bad file descriptor"),
        ],
    )
    @pytest.mark.parametrize("call", ["write", "fsync"])
    def test_a_failure_is_one_clear_error_and_leaves_nothing(
        self, blobs: FolderBlobs, monkeypatch: pytest.MonkeyPatch, call: str, error: int, words: str
    ) -> None:
        with failing(monkeypatch, call, error), pytest.raises(StoreError, match=words) as caught:
            blobs.put(DATA)
        assert "/" not in caught.value.message
        assert isinstance(caught.value.__cause__, OSError)
        assert leftovers(blobs) == []
        assert list(blobs) == []

    def test_a_folder_that_cannot_be_synced_is_an_error_and_keeping_again_succeeds(
        self, blobs: FolderBlobs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with failing(monkeypatch, "fsync", errno.EIO, after=1), pytest.raises(StoreError):
            blobs.put(DATA)
        assert leftovers(blobs) == []
        assert blobs.put(DATA) == SHA256
        assert read(blobs) == DATA

    def test_a_short_write_is_continued(self, blobs: FolderBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
        real = os.write
        monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, bytes(data)[:3]))
        assert blobs.put(DATA) == SHA256
        assert read(blobs) == DATA

    def test_a_root_that_cannot_be_made_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(StoreError, match="cannot be made"):
            FolderBlobs(tmp_path / "file" / "blobs")


class TestDurability:
    def test_bytes_are_synced_before_they_get_their_name_and_the_folders_after(
        self, blobs: FolderBlobs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        acts: list[str] = []
        real_fsync, real_link = os.fsync, os.link

        def fsync(descriptor: int) -> None:
            acts.append("sync " + str(Path(f"/proc/self/fd/{descriptor}").readlink().relative_to(root_of(blobs))))
            real_fsync(descriptor)

        def link(source: Path, target: Path) -> None:
            acts.append("link")
            real_link(source, target)

        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(os, "link", link)
        blobs.put(DATA)
        assert acts[0].startswith("sync incoming/")
        # The new folder's own name is durable before a blob lies in it, and the blob's name before success.
        assert acts[1] == "sync ."
        assert acts[-2:] == ["link", f"sync {SHA256[:2]}"]


class TestSweeping:
    LATER = datetime.now(UTC) + timedelta(days=1)

    def test_what_a_crash_left_is_swept(self, blobs: FolderBlobs) -> None:
        (root_of(blobs) / "incoming" / "left").write_bytes(b"half")
        assert blobs.sweep_incoming(datetime.now(UTC) - timedelta(hours=1)) == 0
        assert blobs.sweep_incoming(self.LATER) == 1
        assert leftovers(blobs) == []

    def test_what_is_coming_in_is_spared(self, blobs: FolderBlobs) -> None:
        with blobs.receive() as incoming:
            incoming.write(DATA)
            assert blobs.sweep_incoming(self.LATER) == 0
            incoming.finish()
            assert blobs.sweep_incoming(self.LATER) == 0
            incoming.keep()
        assert read(blobs) == DATA

    def test_blobs_are_spared(self, blobs: FolderBlobs) -> None:
        blobs.put(DATA)
        assert blobs.sweep_incoming(self.LATER) == 0
        assert read(blobs) == DATA


class TestRemoving:
    """A blob goes with its compressed forms, unless somebody has kept the same bytes since."""

    @pytest.fixture
    def old(self, blobs: FolderBlobs) -> str:
        sha256 = blobs.put(b"of long ago")
        os.utime(blobs.path_of(sha256), (1_000_000_000, 1_000_000_000))
        return sha256

    def test_an_old_one_goes_and_says_what_it_took(self, blobs: FolderBlobs, old: str, tmp_path: Path) -> None:
        forms = tmp_path / "blobs" / ".encoded"
        forms.mkdir()
        for name in (f"{old}.gz", f"{old}.br", "another.gz"):
            (forms / name).write_bytes(b"form")
        moment = datetime.now(UTC) - timedelta(hours=1)
        assert blobs.is_older(old, moment)
        assert blobs.remove_old(old, older_than=moment) == len(b"of long ago")
        assert blobs.size(old) is None
        assert [path.name for path in forms.iterdir()] == ["another.gz"]
        assert blobs.remove_old(old, older_than=moment) is None
        assert not blobs.is_older(old, moment)

    def test_one_that_was_kept_again_stays(self, blobs: FolderBlobs, old: str) -> None:
        moment = datetime.now(UTC) - timedelta(hours=1)
        assert blobs.put(b"of long ago") == old
        assert blobs.remove_old(old, older_than=moment) is None
        assert blobs.size(old) == len(b"of long ago")

    def test_no_other_name_is_a_path(self, blobs: FolderBlobs) -> None:
        with pytest.raises(NotFound):
            blobs.remove_old("../../etc/passwd", older_than=datetime.now(UTC))

    def test_a_read_only_disk_ends_in_one_clear_error(
        self, blobs: FolderBlobs, old: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with (
            failing(monkeypatch, "unlink", errno.EROFS),
            pytest.raises(StoreError, match="The blob cannot be removed: the file system is read-only"),
        ):
            blobs.remove_old(old, older_than=datetime.now(UTC))
        assert blobs.size(old) is not None
