"""Compressed forms in a folder: whole or not there, and nobody misses the folder."""

from __future__ import annotations

import errno
import os
import shutil
import time
from pathlib import Path

import pytest

from gatehouse.core.digests import sha256_hex
from gatehouse.core.errors import InternalError, StoreError
from gatehouse.gate.ports import Coding, Encoded
from gatehouse.storage.blobs.encoded import FolderEncodings
from tests.support.faults import failing

NAME = "12.files-bin-0a.json"
FORM = Encoded(data=b"compressed" * 100, of_sha256=sha256_hex(b"the bytes"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / ".encoded"


@pytest.fixture
def kept(root: Path) -> FolderEncodings:
    return FolderEncodings(root)


def test_a_form_comes_back_as_it_was_kept(kept: FolderEncodings, root: Path) -> None:
    assert kept.load(NAME, Coding.GZIP) is None
    kept.keep(NAME, Coding.GZIP, FORM)
    assert kept.load(NAME, Coding.GZIP) == FolderEncodings(root).load(NAME, Coding.GZIP) == FORM
    assert kept.load(NAME, Coding.BROTLI) is None
    assert sorted(path.name for path in root.iterdir()) == [f"{NAME}.gz", "incoming"]
    assert list((root / "incoming").iterdir()) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda _content: b"",
        lambda content: content[:-1],
        lambda content: content + b"x",
        lambda content: content[:149],
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
        lambda content: b"X" + content[1:],
        lambda content: content.replace(b"gatehouse-encoded 1", b"gatehouse-encoded 2"),
        lambda content: content[content.index(b"\n") + 1 :],
        lambda content: bytes(len(content)),
    ],
)
def test_a_damaged_form_is_none_and_can_be_kept_anew(kept: FolderEncodings, root: Path, damage: object) -> None:
    kept.keep(NAME, Coding.BROTLI, FORM)
    path = root / f"{NAME}.br"
    assert callable(damage)
    path.write_bytes(damage(path.read_bytes()))
    assert kept.load(NAME, Coding.BROTLI) is None
    kept.keep(NAME, Coding.BROTLI, FORM)
    assert kept.load(NAME, Coding.BROTLI) == FORM


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "", "incoming/../../x", "A", "x" * 201, "a\n", "é"])
def test_no_name_leads_elsewhere(kept: FolderEncodings, name: str) -> None:
    with pytest.raises(InternalError):
        kept.load(name, Coding.GZIP)
    with pytest.raises(InternalError):
        kept.keep(name, Coding.GZIP, FORM)


def test_a_link_is_not_followed(kept: FolderEncodings, root: Path, tmp_path: Path) -> None:
    kept.keep(NAME, Coding.GZIP, FORM)
    (root / f"{NAME}.gz").rename(tmp_path / "elsewhere")
    (root / f"{NAME}.gz").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError):
        kept.load(NAME, Coding.GZIP)


@pytest.mark.parametrize("call", ["write", "fchmod"])
def test_a_full_disk_leaves_what_was_there_and_nothing_half(
    kept: FolderEncodings, root: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    kept.keep(NAME, Coding.GZIP, FORM)
    other = Encoded(data=b"other", of_sha256=FORM.of_sha256)
    with failing(monkeypatch, call, errno.ENOSPC), pytest.raises(StoreError, match="no space is left"):
        kept.keep(NAME, Coding.GZIP, other)
    assert kept.load(NAME, Coding.GZIP) == FORM
    assert list((root / "incoming").iterdir()) == []


def test_the_whole_folder_may_go_while_the_server_runs(kept: FolderEncodings, root: Path) -> None:
    kept.keep(NAME, Coding.GZIP, FORM)
    shutil.rmtree(root)
    assert kept.load(NAME, Coding.GZIP) is None
    kept.keep(NAME, Coding.GZIP, FORM)
    assert kept.load(NAME, Coding.GZIP) == FORM


def test_what_a_crash_left_goes_at_a_start_and_what_is_being_written_stays(
    kept: FolderEncodings, root: Path
) -> None:
    kept.keep(NAME, Coding.GZIP, FORM)
    old, new = root / "incoming" / "old", root / "incoming" / "new"
    for path in (old, new):
        path.write_bytes(b"half")
    long_ago = time.time() - 7200
    os.utime(old, (long_ago, long_ago))
    assert FolderEncodings(root).load(NAME, Coding.GZIP) == FORM
    assert list((root / "incoming").iterdir()) == [new]
