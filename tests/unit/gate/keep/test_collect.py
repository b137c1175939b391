"""Obsolete metadata goes, whatever a client may still ask for stays, and a damaged repository is left alone."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from gatehouse.core.errors import StoreError
from gatehouse.gate.keep.witness import RefusedToClean
from gatehouse.tuf.model import Target, TargetChange
from gatehouse.wiring import build_publisher
from tests.support.crashes import Crash, Fuse, FusedDatabase, FusedStore
from tests.support.faults import failing
from tests.support.house import HandClock, House
from tests.support.keeping import GRACE, collector, metadata, restored, stored, versions
from tests.support.tuf_client import Client

PAGE = "simple/p0/index.html"


def history(home: House, clock: HandClock, publications: int, *, every: timedelta = timedelta(minutes=30)) -> None:
    """Publications some time apart, the first of a project with its pages, the others of a file each."""
    for number in range(publications):
        if number:
            change_file(home, f"files/p{number}/p{number}-1.0.tar.gz")
        else:
            home.wheel("p0")
        home.work()
        clock.advance(every)


def change_file(home: House, path: str) -> None:
    """Let a file be published of which the catalog knows nothing."""
    target = Target(path=path, sha256="ab" * 32, length=7)
    with home.gatehouse.database.write() as transaction:
        ref = home.gatehouse.trust.state(transaction).layout.bin_of(path)
        change = TargetChange(path=path, target=target, cause="published")
        transaction.journal.append([(ref, change)], at=home.gatehouse.clock.now())


def listed(home: House, snapshot: int) -> dict[str, int]:
    """What a snapshot lists, by file name."""
    meta = json.loads(stored(home)[f"{snapshot}.snapshot.json"])["signed"]["meta"]
    return {f"{item['version']}.{name}": item["version"] for name, item in meta.items()}


def test_what_no_kept_snapshot_can_name_goes_and_all_else_stays(home: House, clock: HandClock) -> None:
    history(home, clock, 8)
    before = stored(home)
    done = collector(home)()
    # The ninth snapshot is half an hour old, the eighth an hour: the one that was live a grace ago.
    assert done.oldest_kept == 8
    assert versions(home, "snapshot") == [8, 9]
    assert versions(home, "root") == [1]
    kept = stored(home)
    assert done.files == len(before) - len(kept) > 10
    assert done.bytes == sum(len(data) for name, data in before.items() if name not in kept)
    for snapshot in (8, 9):
        assert listed(home, snapshot).keys() <= kept.keys()
    gone = before.keys() - kept.keys()
    assert not [name for name in gone if name in listed(home, 8) or name in listed(home, 9)]
    # And nothing that can go is left: a second clean-up finds nothing.
    assert collector(home)().files == 0


def test_the_last_snapshots_stay_whole_however_old(home: House, clock: HandClock) -> None:
    history(home, clock, 8)
    clock.advance(timedelta(days=3))
    assert collector(home, keep=4)().oldest_kept == 6
    assert versions(home, "snapshot") == [6, 7, 8, 9]
    for snapshot in (6, 7, 8, 9):
        assert listed(home, snapshot).keys() <= stored(home).keys()


def test_renewals_of_the_timestamp_alone_do_not_count_as_snapshots(home: House) -> None:
    with home.gatehouse.database.write() as transaction:
        for number in range(1, 6):
            added = transaction.signing.add_publication(
                epoch=1,
                snapshot_version=2,
                timestamp_version=100 + number,
                reason="the timestamp is due",
                changes=0,
                roles=["timestamp"],
                at=home.gatehouse.clock.now(),
            )
            transaction.signing.mark_published(added, at=home.gatehouse.clock.now())
        assert transaction.keeping.last_snapshots(3) == [2, 1]
        assert transaction.keeping.last_snapshots(1) == [2]


def test_nothing_goes_while_nothing_is_old_enough(home: House, clock: HandClock) -> None:
    history(home, clock, 3, every=timedelta(minutes=1))
    before = stored(home)
    assert collector(home)().oldest_kept is None
    clock.advance(timedelta(hours=2))
    assert collector(home, keep=10)().oldest_kept is None
    assert stored(home) == before


def test_a_dry_run_says_what_would_go_and_deletes_nothing(home: House, clock: HandClock) -> None:
    history(home, clock, 6)
    before = stored(home)
    would = collector(home)(dry_run=True)
    assert stored(home) == before
    assert collector(home)() == would
    assert would.files > 0


def test_clients_in_the_middle_of_a_session_and_clients_at_rest_notice_nothing(
    home: House, clock: HandClock, tmp_path: Path
) -> None:
    resting = Client(home.gatehouse, tmp_path / "resting")
    resting.get()
    history(home, clock, 6)
    live = Client(home.gatehouse, tmp_path / "live")
    live.get(PAGE)
    collector(home)()
    for client in (resting, live, Client(home.gatehouse, tmp_path / "fresh")):
        assert client.get(PAGE)[PAGE] is not None


def test_compressed_forms_of_what_goes_go_too(home: House, clock: HandClock) -> None:
    history(home, clock, 6)
    forms = metadata(home) / ".encoded"
    forms.mkdir(exist_ok=True)
    for name in ("2.snapshot.json.gz", "2.snapshot.json.br", "7.snapshot.json.br"):
        (forms / name).write_bytes(b"form")
    collector(home)()
    assert {path.name for path in forms.iterdir() if path.is_file()} == {"7.snapshot.json.br"}


def test_what_no_snapshot_names_is_left_alone(home: House, clock: HandClock) -> None:
    history(home, clock, 6)
    (metadata(home) / "1.stranger.json").write_bytes(b"{}")
    (metadata(home) / "99.files-bin-0.json").write_bytes(b"half of a publication")
    collector(home)()
    assert {"1.stranger.json", "99.files-bin-0.json"} <= stored(home).keys()


def test_a_clean_up_amid_a_publication_takes_nothing_that_it_needs(
    home: House, clock: HandClock, tmp_path: Path
) -> None:
    history(home, clock, 6)
    for at in range(30):
        change_file(home, f"files/amid/amid-{at}.tar.gz")
        fuse = Fuse(at=at, after=True)
        publisher = build_publisher(home.gatehouse)
        assert publisher.start(steal=True)
        publisher.database = FusedDatabase(home.gatehouse.database, fuse)
        publisher.store = FusedStore(home.gatehouse.metadata_store, fuse)
        crashed = False
        try:
            publisher.publish()
        except Crash:
            crashed = True
        collector(home)()
        Client(home.gatehouse, tmp_path / f"between{at}").get(PAGE)
        heir = build_publisher(home.gatehouse)
        assert heir.start(steal=True)
        heir.publish()
        clock.advance(timedelta(minutes=45))
        if not crashed:
            break
    else:
        pytest.fail("no publication came to its end")
    assert Client(home.gatehouse, tmp_path / "fresh").get(PAGE)[PAGE] is not None


@pytest.mark.parametrize("at", range(0, 12, 3))
def test_a_crash_amid_the_deletion_leaves_what_the_next_one_deletes(
    home: House, clock: HandClock, at: int, tmp_path: Path
) -> None:
    history(home, clock, 6)
    with pytest.raises(Crash):
        collector(home, store=FusedStore(home.gatehouse.metadata_store, Fuse(at=at, after=True)))()
    assert Client(home.gatehouse, tmp_path / "client").get(PAGE)[PAGE] is not None
    assert collector(home)().files > 0
    assert versions(home, "snapshot") == [6, 7]


def _files_bin(home: House) -> Path:
    """The live file of a bin of which older versions would go."""
    name = next(name for name in listed(home, 7) if name.split(".")[1] == "files-bin-0")
    return metadata(home) / name


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _alter(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


class TestDamage:
    """A repository that does not verify is not cleaned: what would go may be what mends it."""

    @pytest.mark.parametrize("spoil", [_cut, _alter, Path.unlink], ids=["cut", "altered", "missing"])
    def test_nothing_goes_and_the_message_names_the_file(
        self, home: House, clock: HandClock, spoil: Callable[[Path], None]
    ) -> None:
        history(home, clock, 6)
        whole = stored(home)
        for name in ("timestamp", "7.snapshot", "1.root", "1.bins", _files_bin(home).stem, "6.snapshot"):
            path = metadata(home) / f"{name}.json"
            spoil(path)
            before = stored(home)
            with pytest.raises(RefusedToClean, match="Nothing was deleted") as refused:
                collector(home)()
            assert name.split(".")[-1] in refused.value.message
            assert "fsck" in refused.value.message
            assert stored(home) == before
            path.write_bytes(whole[path.name])
        assert collector(home)().files > 0

    def test_an_altered_bin_of_the_same_length_is_found_where_older_ones_would_go(
        self, home: House, clock: HandClock
    ) -> None:
        history(home, clock, 6)
        path = _files_bin(home)
        path.write_bytes(path.read_bytes().replace(b'"version":', b'"Version":'))
        with pytest.raises(RefusedToClean, match="not the file that was committed"):
            collector(home)()

    def test_a_restored_database_stops_the_clean_up_and_the_message_names_the_repair(
        self, home: House, clock: HandClock
    ) -> None:
        history(home, clock, 4)
        restored(home, lambda: history(home, clock, 4))
        before = stored(home)
        with pytest.raises(RefusedToClean, match="tuf rebuild"):
            collector(home)()
        assert stored(home) == before

    def test_a_store_that_fell_behind_stops_the_clean_up(self, home: House, clock: HandClock) -> None:
        history(home, clock, 5)
        old = (metadata(home) / "timestamp.json").read_bytes()
        history(home, clock, 2)
        (metadata(home) / "timestamp.json").write_bytes(old)
        with pytest.raises(RefusedToClean, match="older timestamp"):
            collector(home)()

    @pytest.mark.parametrize(
        ("number", "words"), [(errno.EROFS, "read-only"), (errno.EACCES, "may not"), (errno.ENOSPC, "no space")]
    )
    def test_a_store_that_cannot_be_written_ends_in_one_clear_error(
        self, home: House, clock: HandClock, monkeypatch: pytest.MonkeyPatch, number: int, words: str
    ) -> None:
        history(home, clock, 6)
        before = stored(home)
        with failing(monkeypatch, "unlink", number), pytest.raises(StoreError, match=words):
            collector(home)()
        assert stored(home) == before
        assert collector(home)().files > 0


def test_a_stop_between_two_batches_leaves_the_rest_for_another_time(home: House, clock: HandClock) -> None:
    history(home, clock, 6)
    before = stored(home)
    assert collector(home)(stopping=lambda: True).files == 0
    assert stored(home) == before


def test_the_grace_is_what_the_setting_says(home: House, clock: HandClock) -> None:
    history(home, clock, 6)
    assert collector(home, grace=timedelta(0))().oldest_kept == 7
    assert versions(home, "snapshot") == [7]
    assert home.gatehouse.settings.metadata_grace == GRACE
