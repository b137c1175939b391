"""Archives in a folder: whole or not there, written once, read-only."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from gatehouse.core.errors import Conflict, StoreError
from gatehouse.storage.blobs.archives import FolderArchives
from tests.support.faults import failing

NAME = "2026-05-01.tar.gz"


@pytest.fixture
def archives(tmp_path: Path) -> FolderArchives:
    return FolderArchives(tmp_path / "archives")


def write(archives: FolderArchives, name: str = NAME, data: bytes = b"all of it") -> None:
    with archives.create(name) as sink:
        sink.write(data)
        sink.flush()


def test_an_archive_appears_whole_and_read_only(archives: FolderArchives, tmp_path: Path) -> None:
    with archives.create(NAME) as sink:
        assert sink.write(b"half") == 4
        assert archives.names() == []
        sink.write(b" and half")
    assert archives.names() == [NAME]
    path = tmp_path / "archives" / NAME
    assert path.read_bytes() == b"half and half"
    assert path.stat().st_mode & 0o777 == 0o444


def test_it_is_written_once(archives: FolderArchives, tmp_path: Path) -> None:
    write(archives)
    with pytest.raises(Conflict):
        write(archives, data=b"other")
    with archives.create("b.tar.gz") as sink:
        sink.write(b"mine")
        (tmp_path / "archives" / "c.tar.gz").write_bytes(b"theirs")
    assert archives.names() == [NAME, "b.tar.gz", "c.tar.gz"]
    assert (tmp_path / "archives" / NAME).read_bytes() == b"all of it"


def test_who_comes_second_at_the_same_moment_writes_over_nothing(archives: FolderArchives, tmp_path: Path) -> None:
    with pytest.raises(Conflict), archives.create(NAME) as sink:  # noqa: PT012 -- the two meet in the block
        sink.write(b"second")
        write(archives, data=b"first")
    assert (tmp_path / "archives" / NAME).read_bytes() == b"first"
    assert len(list((tmp_path / "archives").iterdir())) == 1


def test_what_fails_in_the_middle_leaves_nothing(archives: FolderArchives, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), archives.create(NAME) as sink:
        sink.write(bytes(1 // 0))
    assert list((tmp_path / "archives").iterdir()) == []


@pytest.mark.parametrize("name", ["../up.tar.gz", ".hidden.tar.gz", "plain.txt", "a/b.tar.gz", ""])
def test_names_that_lead_elsewhere_are_refused(archives: FolderArchives, name: str) -> None:
    with pytest.raises(StoreError, match="not the name of an archive"):
        write(archives, name)


@pytest.mark.parametrize("call", ["write", "fsync", "link", "fchmod"])
def test_a_disk_that_fails_leaves_nothing(
    archives: FolderArchives, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    with (
        failing(monkeypatch, call, errno.ENOSPC),
        pytest.raises(StoreError, match="The archive cannot be written: no space is left on the disk"),
    ):
        write(archives)
    assert list((tmp_path / "archives").iterdir()) == []


def test_a_file_system_without_links_is_named(
    archives: FolderArchives, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with failing(monkeypatch, "link", errno.EOPNOTSUPP), pytest.raises(StoreError, match="cannot link"):
        write(archives)
    assert list((tmp_path / "archives").iterdir()) == []
