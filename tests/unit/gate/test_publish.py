"""A publication survives a crash between any two of its writes, a rival, a restored backup and a broken store."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from gatehouse.catalog.model import FileState
from gatehouse.core.errors import LeaseLost, OperatorError, StoreError
from gatehouse.gate.publish import Publisher
from gatehouse.storage.keys.files import create_key
from gatehouse.storage.keys.signers import check_signer, open_signer
from gatehouse.tuf.bins import BinLayout
from gatehouse.tuf.model import Target, TargetChange
from gatehouse.wiring import build_publisher
from tests.support.crashes import Crash, Fuse, FusedDatabase, FusedStore
from tests.support.distributions import build_wheel
from tests.support.house import HandClock, House, house
from tests.support.tuf_client import Client

WHEEL = "example-1.0-py3-none-any.whl"
PATHS = ("simple/example/index.html", "simple/example/index.v1.json", f"files/example/{WHEEL}")
#: More than the writes of one publication of one file: beyond the last, no crash takes place.
WRITES = 16


def fused(home: House, fuse: Fuse) -> Publisher:
    """A publisher like the house's whose writes go through a fuse; it takes over at once."""
    publisher = build_publisher(home.gatehouse)
    publisher.start(steal=True)
    publisher.database = FusedDatabase(home.gatehouse.database, fuse)
    publisher.store = FusedStore(home.gatehouse.metadata_store, fuse)
    return publisher


def successor(home: House) -> Publisher:
    publisher = build_publisher(home.gatehouse)
    assert publisher.start(steal=True)
    return publisher


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(WRITES))
def test_a_crash_at_any_write_is_rolled_forward(home: House, tmp_path: Path, at: int, after: bool) -> None:  # noqa: FBT001 -- a table
    resting = Client(home.gatehouse, tmp_path / "resting")
    resting.get()
    home.wheel()
    home.screen()
    fuse = Fuse(at=at, after=after)
    crashed = False
    try:
        fused(home, fuse).publish()
    except Crash:
        crashed = True
    # Whatever the crash left, clients can live with it.
    resting.get(*PATHS)
    Client(home.gatehouse, tmp_path / "between").get(*PATHS)
    heir = successor(home)
    while heir.publish() is not None:
        pass
    for client in (resting, Client(home.gatehouse, tmp_path / "fresh")):
        found = client.get(*PATHS)
        assert all(content is not None for content in found.values())
    with home.gatehouse.database.read() as transaction:
        assert transaction.signing.unpublished() is None
        assert transaction.journal.count_pending() == 0
        last = transaction.signing.last_publication()
    assert last is not None
    # One publication for the file, whoever finished it (and the first, which set the house up).
    assert last.id == 2
    assert crashed or fuse.writes <= at


def test_the_crash_test_reaches_every_write(home: House) -> None:
    home.wheel()
    home.screen()
    fuse = Fuse(at=WRITES + 1, after=False)
    fused(home, fuse).publish()
    # Two transactions, six offline files, two to four bins, the snapshot, the timestamp.
    assert 10 <= fuse.writes <= WRITES


def test_pages_are_served_only_when_the_timestamp_has_moved(home: House) -> None:
    home.wheel()
    home.screen()
    fuse = Fuse(at=1, after=False)  # the commit has taken place, nothing else
    with pytest.raises(Crash):
        fused(home, fuse).publish()
    assert home.gatehouse.shelf.page("example", "html") is None
    successor(home)
    served = home.gatehouse.shelf.page("example", "html")
    assert served is not None
    with home.gatehouse.blobs.open(served.sha256) as blob:
        assert WHEEL.encode() in blob.read()


def test_a_predecessor_that_wakes_up_moves_nothing(home: House, tmp_path: Path) -> None:
    old = home.publisher
    home.wheel()
    home.screen()
    heir = successor(home)
    with pytest.raises(LeaseLost):
        old.publish()
    assert heir.publish() is not None
    with pytest.raises(LeaseLost):
        home.gatehouse.metadata_store.move_timestamp(b"{}", epoch=1)
    found = Client(home.gatehouse, tmp_path / "client").get(*PATHS)
    assert None not in found.values()


def test_a_second_publisher_waits_until_the_lease_has_ended(tmp_path: Path) -> None:
    clock = HandClock()
    with house(tmp_path / "home", clock=clock) as home:
        rival = build_publisher(home.gatehouse)
        assert not rival.start()
        clock.advance(home.gatehouse.settings.lease_seconds + timedelta(seconds=1))
        assert rival.start()
        with pytest.raises(LeaseLost):
            home.publisher.keep_lease()


def test_a_store_that_is_ahead_of_the_database_stops_publication(home: House) -> None:
    settings = home.gatehouse.settings
    backup = (settings.home / "gatehouse.db").read_bytes()
    with home.gatehouse.database.write() as transaction:  # flush the write-ahead log into the file
        assert transaction.signing.unpublished() is None
    home.gatehouse.database.close()
    backup = (settings.home / "gatehouse.db").read_bytes()
    home.wheel()
    home.work()
    home.publisher.stop()
    home.gatehouse.close()
    for leftover in settings.home.glob("gatehouse.db-*"):
        leftover.unlink()
    (settings.home / "gatehouse.db").write_bytes(backup)
    publisher = build_publisher(home.gatehouse)
    with pytest.raises((StoreError, LeaseLost), match=r"ahead of the database|epoch"):
        publisher.start(steal=True)


def test_a_store_that_lost_everything_is_filled_again(home: House, tmp_path: Path) -> None:
    home.wheel()
    home.work()
    home.publisher.stop()
    folder = home.gatehouse.settings.metadata_folder
    before = {path.name: path.read_bytes() for path in folder.glob("*.json")}
    for path in folder.glob("*.json"):
        path.unlink()
    successor(home)
    after = {path.name: path.read_bytes() for path in folder.glob("*.json")}
    assert after["timestamp.json"] == before["timestamp.json"]
    assert all(before[name] == data for name, data in after.items())
    assert None not in Client(home.gatehouse, tmp_path / "client").get(*PATHS).values()


def test_a_metadata_file_of_other_content_stops_publication_and_overwrites_nothing(home: House) -> None:
    folder = home.gatehouse.settings.metadata_folder
    (folder / "2.snapshot.json").write_bytes(b"somebody else's")
    timestamp = (folder / "timestamp.json").read_bytes()
    home.wheel()
    home.screen()
    with pytest.raises(StoreError, match=r"2\.snapshot\.json"):
        home.publisher.publish()
    assert (folder / "2.snapshot.json").read_bytes() == b"somebody else's"
    assert (folder / "timestamp.json").read_bytes() == timestamp


def test_an_unauthorised_online_key_never_signs(home: House, tmp_path: Path) -> None:
    stranger = create_key(tmp_path / "stranger.pem")
    with home.gatehouse.database.read() as transaction:
        offline = home.gatehouse.trust.state(transaction)
    with pytest.raises(OperatorError, match="is not authorised for timestamp"):
        check_signer(stranger, offline.timestamp_keyids, role="timestamp")
    home.wheel()
    home.screen()
    home.publisher.signers = replace(home.publisher.signers, timestamp=stranger)
    before = home.gatehouse.metadata_store.read("timestamp.json")
    with pytest.raises(OperatorError, match="not authorised"):
        home.publisher.publish()
    assert home.gatehouse.metadata_store.read("timestamp.json") == before
    with home.gatehouse.database.read() as transaction:
        assert transaction.signing.unpublished() is None


def test_the_spare_key_can_sign_at_once(home: House, tmp_path: Path) -> None:
    spare = open_signer(f"file2:{home.gatehouse.settings.keys_folder / 'offline' / 'online-spare.pem'}")
    signers = replace(home.publisher.signers, timestamp=spare, snapshot=spare, bins=spare)
    home.publisher.signers = signers
    home.wheel()
    home.work()
    assert None not in Client(home.gatehouse, tmp_path / "client").get(*PATHS).values()


def test_nothing_to_do_publishes_nothing(home: House) -> None:
    before = home.gatehouse.metadata_store.read("timestamp.json")
    assert home.publisher.publish() is None
    assert home.gatehouse.metadata_store.read("timestamp.json") == before


def test_roles_are_renewed_before_they_expire(tmp_path: Path) -> None:
    clock = HandClock()
    with house(tmp_path / "home", clock=clock) as home:
        due = home.publisher.next_due()
        assert timedelta(hours=12) < due - clock.now() < timedelta(hours=24)
        clock.advance(due - clock.now() + timedelta(seconds=1))
        publication = home.publisher.publish()
        assert publication is not None
        assert publication.changes == 0
        assert home.publisher.publish() is None
        assert home.publisher.next_due() > due
        with home.gatehouse.database.read() as transaction:
            ends = [role.expires for role in transaction.signing.online_roles().values()]
        assert min(ends) > clock.now() + timedelta(hours=4)


def test_a_long_sleep_heals_itself(tmp_path: Path) -> None:
    clock = HandClock()
    with house(tmp_path / "home", clock=clock) as home:
        home.wheel()
        home.work()
        clock.advance(timedelta(days=20))
        assert home.gatehouse.health.ready() == ["The timestamp has expired; clients refuse the repository."]
        home.publisher.start(steal=True)
        assert home.publisher.publish() is not None
        assert home.gatehouse.health.ready() == []


def test_many_changes_go_into_one_publication(home: House, tmp_path: Path) -> None:
    authority = home.authority()
    for number in range(20):
        home.upload(build_wheel(f"project-{number}", "1.0"), authority=authority)
    while home.screen():
        pass
    assert home.publish() == 1
    found = Client(home.gatehouse, tmp_path / "client").get(*(f"simple/project-{n}/index.html" for n in range(20)))
    assert None not in found.values()


def test_a_batch_limit_splits_and_loses_nothing(home: House) -> None:
    authority = home.authority()
    home.publisher.batch = 4
    for number in range(5):
        home.upload(build_wheel(f"project-{number}", "1.0"), authority=authority)
    while home.screen():
        pass
    assert home.publish() == 4  # fifteen changes, four at a time
    assert {home.file(f"project_{n}-1.0-py3-none-any.whl").state for n in range(5)} == {FileState.PUBLISHED}
    assert len(home.gatehouse.shelf.projects()) == 5


def test_a_bin_that_somebody_fills_on_purpose_stays_one_that_clients_take(home: House, tmp_path: Path) -> None:
    layout = layout_of(home)
    paths = [f"files/ground/{'x' * 160}-{number}-py3-none-any.whl" for number in range(40_000)]
    wanted = layout.bin_of(paths[0])
    mine = [path for path in paths if layout.bin_of(path) == wanted]
    with home.gatehouse.database.write() as transaction:
        transaction.journal.append([(wanted, change(path)) for path in mine], at=home.gatehouse.clock.now())
    home.publisher.batch = len(mine)
    assert home.publish() == 1
    with home.gatehouse.database.read() as transaction:
        role = transaction.signing.online_roles()[layout.role_name(wanted)]
    assert role.length > 5_000_000, "python-tuf takes no more where the snapshot states no length"
    client = Client(home.gatehouse, tmp_path / "client")
    assert client.knows(mine[-1])
    # And the bin, once so large, comes through recovery and through later publications.
    home.wheel()
    home.work()
    successor(home)
    assert None not in client.get(*PATHS).values()


def layout_of(home: House) -> BinLayout:
    with home.gatehouse.database.read() as transaction:
        return home.gatehouse.trust.state(transaction).layout


def change(path: str) -> TargetChange:
    return TargetChange(path=path, target=Target(path=path, sha256="0" * 64, length=1), cause="published")
