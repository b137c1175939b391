"""Bad entries, lost files, a clock gone back, a rehearsal that fails: one clear error, and the rest goes on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from click.testing import CliRunner
from securesystemslib.signer import Key
from tuf.api.metadata import Metadata, Root
from tuf.api.serialization.json import JSONSerializer

from gatehouse.cli import main
from gatehouse.core.errors import OperatorError, StoreError
from gatehouse.gate.publishing import making
from gatehouse.gate.publishing.judge import Judge
from gatehouse.storage.keys.files import create_key
from gatehouse.storage.keys.signers import open_signer
from gatehouse.tuf.model import BinRef, OfflineMetadata, Target, TargetChange
from gatehouse.tuf.rehearse import RehearsalFailed
from gatehouse.tuf.verify import verify_bin
from gatehouse.wiring import build_publisher
from tests.support.crashes import Crash, Fuse, FusedStore
from tests.support.house import HandClock, House, house
from tests.support.targets import bin_file, change, journal, layout_of
from tests.support.tuf_client import Client

GOOD = "files/example/good-1.0.tar.gz"
MISPLACED = "files/example/misplaced-1.0.tar.gz"


def refusals(home: House) -> dict[str, str]:
    with home.gatehouse.database.read() as transaction:
        assert transaction.journal.count_pending() == 0
        return {item.entry.change.path: item.reason for item in transaction.journal.refused(limit=10)}


@pytest.mark.parametrize(
    ("path", "length", "reason"),
    [
        (MISPLACED, 1, "which is not its bin"),
        ("files/example/nega-1.0.tar.gz", -1, "has the length -1"),
        ("files/Example/x", 1, "Invalid target path"),
        ('files/example/a"b', 1, "Invalid filename"),
        ("files/example/../x", 1, "Invalid target path"),
        ("simple/example/evil.html", 1, "Invalid target path"),
        ("evil", 1, "Invalid target path"),
    ],
)
def test_a_change_that_can_never_be_published_is_set_aside_by_name_and_keeps_no_other_waiting(
    home: House, tmp_path: Path, path: str, length: int, reason: str
) -> None:
    layout = layout_of(home)
    ref = BinRef(family=next(iter(layout.refs())).family, index=0)
    if path == MISPLACED:
        ref = next(ref for ref in layout.refs() if ref != layout.bin_of(path))
    bad = TargetChange(path=path, target=Target(path=path, sha256="0" * 64, length=length), cause="published")
    with home.gatehouse.database.write() as transaction:
        transaction.journal.append(
            [(ref, bad), (layout.bin_of(GOOD), change(GOOD))], at=home.gatehouse.clock.now()
        )
    publication = home.publisher.publish()
    assert publication is not None
    assert publication.changes == 1
    assert [(name, reason in text) for name, text in refusals(home).items()] == [(path, True)]
    assert Client(home.gatehouse, tmp_path / "client").knows(GOOD)
    overview = home.gatehouse.health.overview()
    assert (overview.pending_changes, overview.refused_changes) == (0, 1)
    with home.gatehouse.database.read() as transaction:
        covering = transaction.journal.covering(path)
    assert covering is not None
    assert covering.publication is None
    assert covering.refused == refusals(home)[path]
    assert home.publisher.publish() is None


def test_a_bin_whose_file_is_gone_or_altered_is_rendered_from_the_database(home: House, tmp_path: Path) -> None:
    for damage in ("gone", "altered"):
        path, before = f"files/example/{damage}-1.0.tar.gz", f"files/example/{damage}-0.9.tar.gz"
        layout = layout_of(home)
        other = next(
            each
            for each in (f"files/example/{damage}-{number}.zip" for number in range(99))
            if layout.bin_of(each) == layout.bin_of(path)
        )
        journal(home, before, other)
        home.publish()
        file = bin_file(home, path)
        if damage == "gone":
            file.unlink()
        else:
            file.write_bytes(file.read_bytes().replace(b"0", b"1"))
        journal(home, path)
        with structlog.testing.capture_logs() as logs:
            assert home.publish() == 1
        (warning,) = [line for line in logs if line["log_level"] == "warning"]
        assert warning["among_them"] == [layout.role_name(layout.bin_of(path))]
        client = Client(home.gatehouse, tmp_path / damage)
        assert client.knows(path)
        assert client.knows(other)


def test_a_clock_that_went_back_signs_nothing_until_it_is_set_right(tmp_path: Path) -> None:
    clock = HandClock()
    with house(tmp_path / "home", clock=clock) as home:
        right = clock.moment
        journal(home, GOOD)
        clock.moment = right - timedelta(seconds=50)
        assert home.publish() == 1, "a minute is no jump"
        journal(home, MISPLACED)
        before = home.gatehouse.metadata_store.read("timestamp.json")
        clock.moment = right - timedelta(hours=3)
        for _ in range(2):  # remembered, and read anew
            with pytest.raises(OperatorError, match=r"clock says 2026-05-01 09:00:0.*newest publication.*11:59:1"):
                home.publisher.publish()
        assert home.gatehouse.metadata_store.read("timestamp.json") == before
        clock.moment = right
        assert home.publish() == 1


def test_what_a_clock_that_ran_ahead_signed_is_signed_anew_once_a_person_says_so(tmp_path: Path) -> None:
    clock = HandClock()
    # The client's clock is the machine's.
    clock.moment = datetime.now(UTC)
    with house(tmp_path / "home", clock=clock) as home:
        right = clock.moment
        resting = Client(home.gatehouse, tmp_path / "resting")
        resting.get()
        clock.moment = right + timedelta(days=200)
        journal(home, GOOD)
        home.publish()
        # It ends there, and its lease would hold until then.
        heir = build_publisher(home.gatehouse)
        clock.moment = right
        assert not heir.start()
        heir.clock_is_right = True
        assert heir.start(steal=True)
        assert heir.publish(renew_all=True) is not None
        while heir.publish() is not None:
            pass
        with home.gatehouse.database.read() as transaction:
            roles = transaction.signing.online_roles().values()
        assert max(role.expires for role in roles) <= right + timedelta(days=1, seconds=1)
        assert resting.knows(GOOD)
        heir.clock_is_right = False
        journal(home, MISPLACED)
        assert heir.publish() is not None
        assert resting.knows(MISPLACED)
        heir.stop()


def test_the_command_that_mends_it_is_named_and_works(tmp_path: Path) -> None:
    clock = HandClock()
    with house(tmp_path / "home", clock=clock) as home:
        clock.moment = datetime.now(UTC) + timedelta(days=20)
        journal(home, GOOD)
        home.publish()
        home.publisher.stop()
    runner = CliRunner(env={"GATEHOUSE_HOME": str(tmp_path / "home")})
    refused = runner.invoke(main, ["tuf", "renew"])
    assert refused.exit_code == 2
    assert "renew --clock-is-right" in refused.output
    mended = runner.invoke(main, ["tuf", "renew", "--clock-is-right"])
    assert mended.exit_code == 0, mended.output
    assert runner.invoke(main, ["tuf", "renew"]).exit_code == 0


def test_what_fails_its_rehearsal_in_one_bin_keeps_no_other_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = HandClock()
    with house(tmp_path / "home", clock=clock) as home:
        layout = layout_of(home)
        other = next(
            path
            for path in (f"files/example/other-{number}.zip" for number in range(99))
            if layout.bin_of(path) != layout.bin_of(GOOD)
        )
        journal(home, other, GOOD)
        name = layout.role_name(layout.bin_of(GOOD))
        real = verify_bin

        def faulty(data: bytes, **arguments: Any) -> None:
            if arguments["role"].name == name and arguments["expected"]:
                raise RehearsalFailed(name, "a fault of ours")
            real(data, **arguments)

        with monkeypatch.context() as patch:
            patch.setattr(making, "verify_bin", faulty)
            clock.advance(timedelta(hours=23))
            with pytest.raises(RehearsalFailed, match="a fault of ours"):
                home.publisher.publish()
            # What was due has been renewed, and the others go on.
            assert home.gatehouse.health.overview().warnings == ()
            assert home.publish() == 1
            assert other.encode() in bin_file(home, other).read_bytes()
            assert GOOD.encode() not in bin_file(home, GOOD).read_bytes()
            assert home.gatehouse.health.overview().pending_changes == 1
        assert home.publish() == 0, "not yet"
        clock.advance(timedelta(minutes=11))
        assert home.publish() == 1, "nothing is lost"
        assert GOOD.encode() in bin_file(home, GOOD).read_bytes()


def test_a_publisher_that_met_a_full_disk_finishes_by_itself_when_there_is_room(
    home: House, tmp_path: Path
) -> None:
    journal(home, GOOD)
    real = home.publisher.store
    home.publisher.store = _FullDisk(real)
    for _ in range(2):
        with pytest.raises(StoreError, match="no space"):
            home.publisher.publish()
    home.publisher.store = real
    while home.publisher.publish() is not None:
        pass
    assert Client(home.gatehouse, tmp_path / "client").knows(GOOD)
    with home.gatehouse.database.read() as transaction:
        assert transaction.signing.unpublished() is None


class _FullDisk(FusedStore):
    def __init__(self, store: Any) -> None:
        super().__init__(store, Fuse(at=-1, after=False))

    def create(self, files: Any) -> None:
        for _ in files:
            raise StoreError("There is no space left.")


def added_root(home: House, *, key: Key | None = None) -> OfflineMetadata:
    """The next root, signed by the keys of the development ceremony and taken up by another process."""
    database, folder = home.gatehouse.database, home.gatehouse.settings.keys_folder / "offline"
    with database.read() as transaction:
        newest = home.gatehouse.trust.state(transaction).roots[-1]
    metadata = Metadata[Root].from_bytes(newest.data)
    metadata.signed.version += 1
    if key is not None:
        metadata.signed.add_key(key, "timestamp")
        metadata.signed.add_key(key, "snapshot")
    metadata.signatures.clear()
    for number in (1, 2, 3):
        metadata.sign(open_signer(f"file2:{folder / f'root-{number}.pem'}"), append=True)
    item = OfflineMetadata(
        role="root", version=metadata.signed.version, data=metadata.to_bytes(JSONSerializer(compact=True))
    )
    with database.write() as transaction:
        transaction.signing.add_offline_metadata([item], at=home.gatehouse.clock.now())
    return item


def test_a_root_that_another_process_added_is_published_with_a_new_snapshot(home: House, tmp_path: Path) -> None:
    client = Client(home.gatehouse, tmp_path / "resting")
    client.get()
    assert home.publisher.publish() is None
    item = added_root(home)
    publication = home.publisher.publish()
    assert publication is not None
    assert publication.roles == ("snapshot", "timestamp")
    assert home.gatehouse.metadata_store.read("2.root.json") == item.data
    client.get()
    assert home.publisher.publish() is None
    home.publisher.stop()
    assert home.publisher.start()
    assert home.publisher.publish() is None, "a start does not take the root for a new one"


def test_a_root_that_came_while_nobody_published_is_followed_by_a_snapshot(home: House) -> None:
    home.publisher.stop()
    added_root(home)
    assert home.publisher.start()
    publication = home.publisher.publish()
    assert publication is not None
    assert publication.roles == ("snapshot", "timestamp")


def test_a_key_that_an_older_root_in_a_cache_does_not_know_signs_nothing_yet(tmp_path: Path) -> None:
    clock = HandClock()
    with house(tmp_path / "home", clock=clock) as home:
        fresh = create_key(tmp_path / "fresh.pem")
        added_root(home, key=fresh.public_key)
        assert home.publish() == 1
        signers = home.publisher.signers
        home.publisher.signers = replace(signers, timestamp=fresh, snapshot=fresh)
        journal(home, GOOD)
        clock.advance(timedelta(minutes=59))
        with pytest.raises(RehearsalFailed, match="is not authorised by root 1"):
            home.publisher.publish()
        clock.advance(timedelta(minutes=2))
        assert home.publish() == 1


def test_recovery_renders_the_snapshot_as_it_was_although_offline_metadata_came_in_between(
    home: House, tmp_path: Path
) -> None:
    journal(home, GOOD)
    home.publisher.store = FusedStore(home.gatehouse.metadata_store, Fuse(at=0, after=False))
    with pytest.raises(Crash):
        home.publisher.publish()
    home.publisher.store = home.gatehouse.metadata_store
    added_root(home)
    with home.gatehouse.database.read() as transaction:
        audit = home.gatehouse.trust.state(transaction).delegated["audit"]
    metadata: Metadata[Any] = Metadata.from_bytes(audit.data)
    metadata.signed.version += 1
    signer = open_signer(f"file2:{home.gatehouse.settings.keys_folder / 'offline' / 'audit.pem'}")
    metadata.sign(signer)
    item = OfflineMetadata(role="audit", version=2, data=metadata.to_bytes(JSONSerializer(compact=True)))
    with home.gatehouse.database.write() as transaction:
        transaction.signing.add_offline_metadata([item], at=home.gatehouse.clock.now())
    while home.publisher.publish() is not None:
        pass
    assert Client(home.gatehouse, tmp_path / "client").knows(GOOD)
    assert b'"audit.json":{"version":2}' in (home.gatehouse.metadata_store.read("3.snapshot.json") or b"")


def test_the_judge_takes_its_share_of_the_time_and_its_verdict_counts(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.publisher.judge = Judge(share=1)
    journal(home, GOOD)
    before = home.gatehouse.metadata_store.read("timestamp.json")

    def refuse(**_arguments: object) -> None:
        raise RehearsalFailed("snapshot", "the judge says no")

    with monkeypatch.context() as patch:
        patch.setattr("gatehouse.gate.publishing.judge.rehearse", refuse)
        with pytest.raises(RehearsalFailed, match="the judge says no"):
            home.publisher.publish()
        assert home.gatehouse.metadata_store.read("timestamp.json") == before
        home.publisher.judge = Judge(share=1e-9)
        with pytest.raises(RehearsalFailed):  # the first one that it sees
            home.publisher.publish()
    assert home.publish() == 1
    with monkeypatch.context() as patch:
        patch.setattr("gatehouse.gate.publishing.judge.rehearse", refuse)
        journal(home, MISPLACED)
        assert home.publish() == 1, "it rests now"
        added_root(home)
        with pytest.raises(RehearsalFailed):  # the first under a new root
            home.publisher.publish()
    assert home.publish() == 1
