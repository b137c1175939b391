"""What an operator types to clean up and to archive; proof and rebuild have tests of their own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gatehouse.cli import main


def run(home: Path, *words: str, **settings: str) -> Result:
    return CliRunner().invoke(main, ["tuf", *words], env={"GATEHOUSE_HOME": str(home), **settings})


@pytest.fixture(scope="module")
def set_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("operator") / "home"
    words = ["init", "--simple-bins", "2", "--files-bins", "2"]
    assert CliRunner().invoke(main, words, env={"GATEHOUSE_HOME": str(home)}).exit_code == 0
    for _ in range(2):
        assert run(home, "renew").exit_code == 0
    return home


@pytest.fixture
def home(set_up: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(set_up, tmp_path / "home"))


def test_gc_says_what_goes_before_and_after(home: Path) -> None:
    quick = {"GATEHOUSE_METADATA_GRACE": "0s", "GATEHOUSE_METADATA_SNAPSHOTS": "1"}
    metadata = home / "tuf" / "metadata"
    before = {path.name for path in metadata.glob("*.json")}
    looked = run(home, "gc", "--dry-run", **quick)
    assert looked.exit_code == 0, looked.output
    assert "metadata  10 files would go" in looked.output
    assert {path.name for path in metadata.glob("*.json")} == before
    done = run(home, "gc", **quick)
    assert "metadata  10 files deleted" in done.output
    assert "snapshot 3 is the oldest kept" in done.output
    assert len(before) - len(list(metadata.glob("*.json"))) == 10
    assert run(home, "fsck", "--blobs").exit_code == 0


def test_gc_keeps_what_the_settings_keep(home: Path) -> None:
    assert "nothing that was replaced is old enough yet" in run(home, "gc").output
    assert run(home, "gc", GATEHOUSE_METADATA_SNAPSHOTS="0").exit_code == 2


def test_gc_refuses_a_repository_that_does_not_verify_in_one_line(home: Path) -> None:
    (home / "tuf" / "metadata" / "timestamp.json").write_bytes(b"{")
    refused = run(home, "gc")
    assert (refused.exit_code, len(refused.output.splitlines())) == (2, 1)
    assert "Nothing was deleted: timestamp.json" in refused.output


def test_an_archive_is_written_proved_and_found_damaged(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "archives"
    written = run(home, "archive", GATEHOUSE_METADATA_ARCHIVE=str(folder))
    assert written.exit_code == 0, written.output
    (path,) = folder.iterdir()
    assert f"{path}: snapshot 3, 12 files" in written.output
    again = run(home, "archive", GATEHOUSE_METADATA_ARCHIVE=str(folder))
    assert (again.exit_code, len(again.output.splitlines())) == (2, 1)
    # A proof needs no repository, only a root that was kept apart.
    root = str(shutil.copy(home / "tuf" / "metadata" / "1.root.json", tmp_path / "root.json"))
    sound = run(tmp_path / "nowhere", "archive", "--verify", str(path), "--root", root)
    assert sound.exit_code == 0, sound.output
    assert "snapshot 3, 12 files, 0 targets" in sound.output
    damaged = tmp_path / "damaged.tar.gz"
    damaged.write_bytes(path.read_bytes()[:-100])
    found = run(tmp_path / "nowhere", "archive", "--verify", str(damaged), "--root", root)
    assert (found.exit_code, len(found.output.splitlines())) == (1, 1)
    assert found.output.startswith("FAULT  ")


def test_an_archive_needs_a_folder_and_a_proof_a_root(home: Path, tmp_path: Path) -> None:
    assert "GATEHOUSE_METADATA_ARCHIVE" in run(home, "archive").output
    some = tmp_path / "some.tar.gz"
    some.write_bytes(b"")
    assert run(home, "archive", "--verify", str(some)).exit_code == 2
    assert run(home, "archive", "--root", str(some)).exit_code == 2


def test_rebuild_must_be_told_where_from(home: Path) -> None:
    assert run(home, "rebuild").exit_code == 2
    refused = run(home, "rebuild", "--from-store")
    assert (refused.exit_code, "--replace" in refused.output) == (2, True)


@pytest.mark.parametrize("command", ["gc", "fsck", "archive", "rebuild"])
def test_every_command_has_an_example(home: Path, command: str) -> None:
    assert f"Example: gatehouse tuf {command}" in run(home, command, "--help").output
