"""An archive is written once, proves itself from a root, and tells every way in which it can be damaged."""

from __future__ import annotations

import errno
import gzip
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from gatehouse.core.errors import Conflict, StoreError
from gatehouse.gate.keep.archive import Archive, BadArchive, verify
from gatehouse.gate.keep.stored import Unproved
from gatehouse.storage.blobs.archives import FolderArchives
from tests.support.faults import failing
from tests.support.house import HandClock, House, house
from tests.support.keeping import metadata, trusted_root

Members = list[tuple[str, bytes]]


def archiver(home: House, folder: Path) -> Archive:
    gatehouse = home.gatehouse
    return Archive(
        database=gatehouse.database,
        store=gatehouse.metadata_store,
        trust=gatehouse.trust,
        archives=FolderArchives(folder),
        clock=gatehouse.clock,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "archives"


@pytest.fixture
def full(home: House) -> House:
    for number in range(3):
        home.wheel(f"p{number}")
        home.work()
    return home


def members(path: Path) -> Members:
    with tarfile.open(path) as tar:
        return [(member.name, tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr] # files


def packed(items: Members) -> io.BytesIO:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, data in items:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    out.seek(0)
    return out


def test_an_archive_holds_all_that_is_served_and_proves_itself(full: House, folder: Path) -> None:
    done = archiver(full, folder)()
    path = folder / done.name
    assert done.name == f"{done.made_at:%Y-%m-%d}.snapshot-4.timestamp-4.tar.gz"
    with path.open("rb") as stream:
        read = verify(stream, done.name, trusted_root(full))
    assert (read.snapshot_version, read.files, read.made_at) == (4, done.files, done.made_at)
    assert read.targets == 9  # a file and two pages of each of three projects
    held = dict(members(path))
    manifest = json.loads(held.pop("manifest.json"))
    assert {item["name"] for item in manifest["files"]} == held.keys()
    assert all((metadata(full) / name).read_bytes() == data for name, data in held.items())
    assert "timestamp.json" in held
    assert len(held) == 1 + 5 + 2 + 4


def test_it_is_read_only_and_is_never_written_over(full: House, folder: Path) -> None:
    archive = archiver(full, folder)
    path = folder / archive().name
    before = path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o444
    with pytest.raises(Conflict, match="written once"):
        archive()
    assert path.read_bytes() == before
    assert [entry.name for entry in folder.iterdir()] == [path.name]


def test_the_same_state_gives_the_same_bytes_but_for_its_moment(full: House, tmp_path: Path) -> None:
    first, second = (tmp_path / name for name in ("one", "two"))
    one = members(first / archiver(full, first)().name)
    two = members(second / archiver(full, second)().name)
    assert one[:-1] == two[:-1]
    data = gzip.compress(b"", mtime=0)
    assert (first / FolderArchives(first).names()[0]).read_bytes()[4:8] == data[4:8]


def test_one_a_day_is_due(full: House, clock: HandClock, folder: Path) -> None:
    archive = archiver(full, folder)
    clock.moment = clock.moment.replace(hour=12, minute=0)
    assert archive.is_due()
    archive()
    assert not archive.is_due()
    clock.advance(timedelta(hours=11, minutes=50))
    assert not archive.is_due()
    clock.advance(timedelta(minutes=15))
    assert archive.is_due()


@pytest.mark.parametrize("name", ["timestamp.json", "4.snapshot.json", "1.targets.json", "bin"])
def test_what_does_not_verify_is_not_archived(full: House, folder: Path, name: str) -> None:
    if name == "bin":
        name = next(path.name for path in metadata(full).glob("*.files-bin-0.json"))
        for other in metadata(full).glob("*.files-bin-*.json"):
            data = bytearray(other.read_bytes())
            data[-40] ^= 1
            other.write_bytes(bytes(data))
    else:
        path = metadata(full) / name
        path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(Unproved):
        archiver(full, folder)()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("call", ["write", "fsync"])
@pytest.mark.parametrize("after", [0, 1])
def test_a_full_disk_leaves_nothing_of_it(
    full: House, folder: Path, monkeypatch: pytest.MonkeyPatch, call: str, after: int
) -> None:
    archive = archiver(full, folder)
    with (
        failing(monkeypatch, call, errno.ENOSPC, after=after if call == "write" else 0),
        pytest.raises(StoreError, match="no space is left"),
    ):
        archive()
    assert list(folder.iterdir()) == []
    archive()


def _first_bin(items: Members) -> int:
    return next(number for number, (name, _) in enumerate(items) if "-bin-" in name)


def _altered_bin(items: Members) -> Members:
    at = _first_bin(items)
    name, data = items[at]
    return [*items[:at], (name, data.replace(b'"version":', b'"Version":')), *items[at + 1 :]]


def _without_bin(items: Members) -> Members:
    at = _first_bin(items)
    return [*items[:at], *items[at + 1 :]]


def _twice(items: Members) -> Members:
    at = _first_bin(items)
    return [*items[:at], items[at], *items[at:]]


def _beside(items: Members) -> Members:
    return [*items[:-1], ("9.stranger.json", b"{}"), items[-1]]


def _other_manifest(items: Members) -> Members:
    manifest = json.loads(items[-1][1])
    manifest["files"][0]["size"] += 1
    return [*items[:-1], ("manifest.json", json.dumps(manifest).encode())]


def _no_manifest(items: Members) -> Members:
    return items[:-1]


def _torn_manifest(items: Members) -> Members:
    return [*items[:-1], ("manifest.json", items[-1][1][:-5])]


def _no_timestamp(items: Members) -> Members:
    return [item for item in items if item[0] != "timestamp.json"]


def _climbing(items: Members) -> Members:
    return [("../../etc/passwd", b"x"), *items]


def _behind(items: Members) -> Members:
    return [*items, items[0]]


@pytest.mark.parametrize(
    "spoil",
    [
        *(_altered_bin, _without_bin, _twice, _beside, _other_manifest, _no_manifest, _torn_manifest),
        *(_no_timestamp, _climbing, _behind),
    ],
)
def test_every_damage_is_told(full: House, folder: Path, spoil: Callable[[Members], Members]) -> None:
    items = members(folder / archiver(full, folder)().name)
    root = trusted_root(full)
    assert verify(packed(items), "whole", root).files == len(items) - 1
    with pytest.raises(BadArchive, match="does not verify"):
        verify(packed(spoil(items)), "spoilt", root)


@pytest.mark.parametrize("cut", [0, 10, 1000, -1, -200])
def test_a_file_cut_short_is_told(full: House, folder: Path, cut: int) -> None:
    data = (folder / archiver(full, folder)().name).read_bytes()
    with pytest.raises(BadArchive, match=r"cut short|does not verify"):
        verify(io.BytesIO(data[:cut]), "cut", trusted_root(full))


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path / "stranger", own_keys=True) as opened:
        yield opened


def test_another_root_vouches_for_nothing_of_it(full: House, folder: Path, stranger: House) -> None:
    path = folder / archiver(full, folder)().name
    with path.open("rb") as stream, pytest.raises(BadArchive, match="not the trusted root"):
        verify(stream, path.name, trusted_root(stranger))
