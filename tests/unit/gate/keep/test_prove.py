"""A proof finds what is not as it must be, names it with its repair, and the repair works."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from gatehouse.cli import main
from gatehouse.core.errors import LeaseLost, StoreError
from gatehouse.gate.keep.prove import Fault
from gatehouse.wiring import build_publisher
from tests.support.crashes import Crash, Fuse, FusedDatabase, FusedStore
from tests.support.house import House
from tests.support.keeping import damage, faults, metadata, restored, stored
from tests.support.tuf_client import Client

WHEEL = "example-1.0-py3-none-any.whl"
PAGE = "simple/example/index.html"


@pytest.fixture
def full(home: House) -> House:
    home.wheel()
    home.work()
    return home


def codes(found: list[Fault]) -> set[str]:
    return {fault.code for fault in found}


def live_bin(home: House) -> Path:
    """The live file of the bin that lists the wheel."""
    return next(path for path in metadata(home).glob("*.files-bin-*.json") if WHEEL in path.read_text())


def test_a_sound_repository_has_no_fault(full: House) -> None:
    assert faults(full) == []
    assert faults(full, sample=1) == []


def test_it_is_sound_at_every_point_of_a_publication(full: House) -> None:
    """What a publication under way accounts for is no fault."""
    for at in range(30):
        full.wheel("amid", f"{at}.0")
        full.screen()
        fuse = Fuse(at=at, after=True)
        publisher = build_publisher(full.gatehouse)
        assert publisher.start(steal=True)
        publisher.database = FusedDatabase(full.gatehouse.database, fuse)
        publisher.store = FusedStore(full.gatehouse.metadata_store, fuse)
        crashed = False
        try:
            publisher.publish()
        except Crash:
            crashed = True
        assert faults(full) == [], f"after write {at}"
        if not crashed:
            return
        heir = build_publisher(full.gatehouse)
        assert heir.start(steal=True)
        heir.publish()
    pytest.fail("no publication came to its end")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def _alter(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"version"', b'"Version"'))


def _torn(path: Path) -> None:
    path.write_bytes(b'{"signatures": [')


@pytest.mark.parametrize("spoil", [_cut, _alter, _torn, Path.unlink])
def test_a_metadata_file_that_is_damaged_or_gone_is_named(full: House, spoil: Callable[[Path], None]) -> None:
    whole = stored(full)
    live = live_bin(full).name
    expected = {
        "timestamp.json": {"chain", "file-altered"},
        "2.snapshot.json": {"chain", "file-altered", "file-missing"},
        "1.root.json": {"chain", "file-altered", "file-missing"},
        "1.targets.json": {"chain", "file-altered", "file-missing"},
        live: {"file-altered", "file-missing"},
    }
    for name, allowed in expected.items():
        spoil(metadata(full) / name)
        found = faults(full)
        assert found, name
        assert codes(found) <= allowed
        assert any(name in fault.line for fault in found)
        assert all(fault.repair for fault in found)
        (metadata(full) / name).write_bytes(whole[name])
    assert faults(full) == []


@pytest.mark.parametrize("spoil", [_alter, Path.unlink])
def test_renewing_mends_a_bin_as_the_repair_says(
    full: House, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(live_bin(full))
    assert any("tuf renew" in fault.repair for fault in faults(full))
    full.publisher.publish(renew_all=True)
    assert faults(full) == []
    path = f"files/example/{WHEEL}"
    assert Client(full.gatehouse, tmp_path / "client").get(path)[path] is not None


@pytest.mark.parametrize("name", ["timestamp.json", "2.snapshot.json"])
def test_a_restarted_publisher_writes_again_what_clients_begin_with(full: House, name: str) -> None:
    (metadata(full) / name).unlink()
    assert faults(full)
    heir = build_publisher(full.gatehouse)
    assert heir.start(steal=True)
    assert faults(full) == []


def test_an_older_timestamp_is_one_fault_of_the_store(full: House) -> None:
    old = (metadata(full) / "timestamp.json").read_bytes()
    full.wheel("another")
    full.work()
    (metadata(full) / "timestamp.json").write_bytes(old)
    assert codes(faults(full)) == {"store-behind"}


def test_a_restored_backup_shows_as_a_store_that_is_ahead(full: House) -> None:
    def meanwhile() -> None:
        full.wheel("later")
        full.work()

    restored(full, meanwhile)
    found = faults(full)
    assert "store-ahead" in codes(found)
    ahead = next(fault for fault in found if fault.subject == "timestamp.json")
    assert "tuf rebuild --from-store --replace" in ahead.repair


def test_files_that_nobody_names_are_told(full: House) -> None:
    for name in ("1.stranger.json", "0.probe-12ab.json", "7.files-bin-9.json"):
        (metadata(full) / name).write_bytes(b"{}")
    found = faults(full)
    assert codes(found) == {"unknown-file"}
    assert {fault.subject for fault in found} == {"1.stranger.json", "0.probe-12ab.json", "7.files-bin-9.json"}


def test_a_version_that_nobody_committed_is_told(full: House) -> None:
    (metadata(full) / "9.files-bin-0.json").write_bytes(b"{}")
    (fault,) = faults(full)
    assert (fault.code, fault.subject) == ("store-ahead", "9.files-bin-0.json")


@pytest.mark.parametrize("text", [b"", b"seven", b"7\n8", b"\xff\xfe"])
def test_a_damaged_epoch_is_told_with_a_number_that_mends_it(full: House, text: bytes) -> None:
    full.publisher.stop()
    (metadata(full) / ".store" / "epoch").write_bytes(text)
    (fault,) = faults(full)
    assert fault.code == "epoch"
    with pytest.raises(StoreError, match="epoch of the metadata store is damaged"):
        build_publisher(full.gatehouse).start(steal=True)
    number = next(word for word in fault.repair.split() if word.isdigit())
    (metadata(full) / ".store" / "epoch").write_text(number)
    assert faults(full) == []
    heir = build_publisher(full.gatehouse)
    assert heir.start(steal=True)


def test_an_epoch_above_all_that_the_database_gave_out_is_told(full: House) -> None:
    full.gatehouse.metadata_store.fence(1000)
    (fault,) = faults(full)
    assert fault.code == "epoch"
    with pytest.raises(LeaseLost):
        build_publisher(full.gatehouse).start(steal=True)


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("UPDATE targets SET length = length + 1 WHERE path LIKE 'files/%'", "unrenderable"),
        ("DELETE FROM targets WHERE path LIKE 'simple/%.html'", "unrenderable"),
        ("UPDATE targets SET bin = 1 - bin WHERE path LIKE 'files/%'", "misplaced"),
        ("UPDATE targets SET bin = 7 WHERE path LIKE 'files/%'", "misplaced"),
        ("UPDATE online_roles SET version = version + 1 WHERE name = 'files-bin-0'", "unrenderable"),
        ("UPDATE online_roles SET expires = expires + 1000000 WHERE name = 'timestamp'", "unrenderable"),
        ("UPDATE online_roles SET version = version + 1 WHERE name = 'snapshot'", "tip"),
        ("DELETE FROM online_roles WHERE name = 'files-bin-1'", "role-missing"),
        (
            (
                "INSERT INTO online_roles SELECT 'files-bin-9', version, expires, signatures, sha256, length, "
                "publication_id FROM online_roles WHERE name = 'files-bin-0'"
            ),
            "no-delegation",
        ),
        (
            (
                "INSERT INTO journal (at, path, family, bin, sha256, length, cause, publication_id) SELECT at, "
                "'files/other.tar.gz', family, bin, sha256, length, cause, publication_id FROM journal LIMIT 1"
            ),
            "publication",
        ),
    ],
)
def test_a_database_that_was_changed_behind_the_publishers_back_is_told(
    full: House, statement: str, code: str
) -> None:
    damage(full, statement)
    found = faults(full)
    assert code in codes(found), [fault.line for fault in found]
    assert all(fault.means and fault.repair for fault in found)


def test_versions_that_do_not_rise_and_unfinished_publications_are_told(full: House) -> None:
    damage(
        full,
        "INSERT INTO publications (epoch, snapshot_version, timestamp_version, reason, changes, committed_at, "
        "roles) VALUES (1, 1, 50, 'changes', 0, 0, '[]'), (1, 1, 49, 'changes', 0, 0, '[]')",
    )
    lines = [fault.line for fault in faults(full) if fault.code == "publication"]
    assert any("do not rise" in line for line in lines)
    assert any("committed and not published, and later ones follow" in line for line in lines)


class TestBlobs:
    """Every published file and page has its bytes."""

    def blob(self, home: House, path: str) -> Path:
        if path == PAGE:
            served = home.gatehouse.shelf.page("example", "html")
            assert served is not None
            return home.gatehouse.blobs.path_of(served.sha256)
        file = home.file(WHEEL)
        return home.gatehouse.blobs.path_of(
            str(file.metadata_sha256) if path.endswith(".metadata") else file.sha256
        )

    @pytest.mark.parametrize("path", [PAGE, f"files/example/{WHEEL}", f"files/example/{WHEEL}.metadata"])
    def test_one_that_is_gone_is_told(self, full: House, path: str) -> None:
        self.blob(full, path).unlink()
        assert faults(full, with_blobs=False) == []
        found = faults(full)
        assert codes(found) == {"blob-missing"}
        assert {fault.subject for fault in found} == {path}

    def test_one_of_another_length_is_told(self, full: House) -> None:
        blob = self.blob(full, PAGE)
        os.truncate(blob, 5)
        (fault,) = faults(full)
        assert (fault.code, fault.subject) == ("blob-altered", PAGE)

    def test_one_that_waits_to_be_published_is_looked_for_too(self, full: House) -> None:
        full.wheel("waiting")
        full.screen()
        full.gatehouse.blobs.path_of(full.file("waiting-1.0-py3-none-any.whl").sha256).unlink()
        assert {fault.subject for fault in faults(full)} == {"files/waiting/waiting-1.0-py3-none-any.whl"}

    def test_targets_of_an_index_elsewhere_have_no_bytes_here(self, full: House) -> None:
        damage(full, "UPDATE files SET external_url = 'https://elsewhere.invalid/x'")
        blob = full.gatehouse.blobs.path_of(full.file(WHEEL).sha256)
        blob.unlink()
        assert faults(full) == []


class TestCommand:
    """`gatehouse tuf fsck` says it in lines and in its exit code."""

    def run(self, home: House, *words: str) -> tuple[int, list[str]]:
        result = CliRunner().invoke(
            main, ["tuf", "fsck", *words], env={"GATEHOUSE_HOME": str(home.gatehouse.settings.home)}
        )
        return result.exit_code, result.output.splitlines()

    def test_sound(self, full: House) -> None:
        assert self.run(full) == (0, ["ok     database and store are sound"])
        code, lines = self.run(full, "--sample", "1", "--blobs")
        assert (code, lines) == (
            0,
            ["ok     database and store are sound, 1 bins of them read, and no blob is missing"],
        )

    def test_a_line_a_fault_and_no_more_than_anybody_reads(self, full: House) -> None:
        for number in range(1, 31):
            (metadata(full) / f"{number}.stranger.json").write_bytes(b"{}")
        code, lines = self.run(full)
        assert (code, len(lines)) == (1, 21)
        assert all(line.startswith("FAULT  ") for line in lines)
        assert lines[-1] == "FAULT  unknown-file: 10 more of this kind."

    @pytest.mark.parametrize("words", [["--sample", "0"], ["--sample", "x"], ["--nonsense"]])
    def test_misuse(self, full: House, words: list[str]) -> None:
        assert self.run(full, *words)[0] == 2
