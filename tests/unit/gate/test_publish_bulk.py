"""What does not fit into one publication: chunks of bins, loaded targets, renewals; no crash loses any of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from gatehouse.core.errors import Conflict
from gatehouse.gate.publish import Publisher
from gatehouse.gate.publishing.changes import Selection
from gatehouse.initialise import initialise
from gatehouse.settings import Settings
from gatehouse.tuf.bins import BinLayout
from gatehouse.tuf.model import BinRef
from gatehouse.wiring import Gatehouse, build, build_publisher
from tests.support.crashes import Crash, Fuse, FusedDatabase, FusedStore
from tests.support.house import HandClock, House, Judge, house
from tests.support.targets import bin_file, change, journal, layout_of, load, some_target
from tests.support.tuf_client import Client

LAYOUT = BinLayout(simple_bits=1, files_bits=2)
PATHS = tuple(f"files/example/example-{number}.zip" for number in range(40))
#: The writes of a first publication in chunks: three commits and marks, six offline files, six bins, two at last.
WRITES = 20


@pytest.fixture
def unpublished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """A repository after its ceremony with targets loaded, before anything was published."""
    settings = Settings(home=tmp_path / "home")
    with monkeypatch.context() as patch:
        patch.setattr("gatehouse.initialise._publish_first", lambda _gatehouse: None)
        initialise(settings, LAYOUT)
    gatehouse = build(settings)
    home = House(gatehouse=gatehouse, judge=Judge(), publisher=publisher_of(gatehouse), clock=None)
    load(home, *PATHS)
    yield home
    if home.publisher.at_work:
        home.publisher.stop()
    gatehouse.close()


def publisher_of(gatehouse: Gatehouse, *, batch_bytes: int = 1500) -> Publisher:
    publisher = build_publisher(gatehouse)
    publisher.batch_bytes = batch_bytes
    return publisher


def published_all(home: House, tmp_path: Path, name: str = "client") -> bool:
    client = Client(home.gatehouse, tmp_path / name)
    return all(client.knows(path) for path in PATHS)


def test_bins_that_do_not_fit_are_published_in_chunks_before_the_first_snapshot(
    unpublished: House, tmp_path: Path
) -> None:
    publisher, store = unpublished.publisher, unpublished.gatehouse.metadata_store
    assert publisher.start()
    journal(unpublished, "files/example/later.zip")
    chunks = []
    while store.read("timestamp.json") is None:
        publication = publisher.publish()
        assert publication is not None
        chunks.append(publication)
    assert len(chunks) > 2
    assert {(chunk.snapshot_version, chunk.timestamp_version, chunk.changes) for chunk in chunks[:-1]} == {
        (0, 0, 0)
    }
    assert (chunks[-1].snapshot_version, chunks[-1].timestamp_version) == (1, 1)
    assert [role for chunk in chunks for role in chunk.roles] == [
        *(LAYOUT.role_name(ref) for ref in LAYOUT.refs()),
        "snapshot",
        "timestamp",
    ]
    assert publisher.publish() is not None, "the change that waited"
    assert Client(unpublished.gatehouse, tmp_path / "client").knows("files/example/later.zip")
    assert published_all(unpublished, tmp_path)
    overview = unpublished.gatehouse.health.overview()
    assert overview.last_publication is not None
    assert overview.last_publication.timestamp_version == 2
    assert publisher.publish() is None, "no bin is dirty any more"


@pytest.mark.parametrize("at", range(WRITES))
def test_a_crash_amid_the_chunks_is_rolled_forward(unpublished: House, tmp_path: Path, at: int) -> None:
    publisher, gatehouse = unpublished.publisher, unpublished.gatehouse
    publisher.start()
    # After one write is before the next.
    fuse = Fuse(at=at, after=False)
    publisher.database, publisher.store = (
        FusedDatabase(gatehouse.database, fuse),
        FusedStore(gatehouse.metadata_store, fuse),
    )
    with pytest.raises(Crash):
        list(iter(publisher.publish, None))
    signed = roles(unpublished)
    heir = unpublished.publisher = publisher_of(gatehouse)
    assert heir.start(steal=True)
    while heir.publish() is not None:
        pass
    assert published_all(unpublished, tmp_path)
    # What was committed is not signed again: it goes on where it stopped.
    assert all(roles(unpublished)[name] == version for name, version in signed.items() if "bin" in name)


def roles(home: House) -> dict[str, int]:
    with home.gatehouse.database.read() as transaction:
        return {name: role.version for name, role in transaction.signing.online_roles().items()}


def test_the_chunk_crashes_reach_every_write(unpublished: House) -> None:
    fuse = Fuse(at=10_000, after=False)
    publisher, gatehouse = unpublished.publisher, unpublished.gatehouse
    publisher.start()
    publisher.database, publisher.store = (
        FusedDatabase(gatehouse.database, fuse),
        FusedStore(gatehouse.metadata_store, fuse),
    )
    while publisher.publish() is not None:
        pass
    assert fuse.writes == WRITES


def test_loaded_targets_are_published_beside_changes(home: House, tmp_path: Path) -> None:
    client = Client(home.gatehouse, tmp_path / "client")
    load(home, *PATHS)
    journal(home, "files/example/new.zip")
    journal(home, PATHS[3], removed=True)
    assert home.publish() == 1
    found = {path: client.knows(path) for path in (*PATHS, "files/example/new.zip")}
    assert found == {path: path != PATHS[3] for path in found}
    assert home.publisher.publish() is None


def test_bins_that_were_empty_and_are_now_large_are_published_a_few_at_a_time(home: House, tmp_path: Path) -> None:
    files = [bin_file(home, path) for path in PATHS]
    home.publisher.batch_bytes = sum(path.stat().st_size for path in {*files}) + 10
    load(home, *PATHS)
    journal(home, "files/example/new.zip")
    assert home.publish() == 2, "as they were they fit into one, as they are they do not"
    client = Client(home.gatehouse, tmp_path / "client")
    assert all(client.knows(path) for path in (*PATHS, "files/example/new.zip"))


def test_targets_loaded_while_their_bin_is_rendered_are_not_lost(
    home: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(home, PATHS[0])
    ref = layout_of(home).bin_of(PATHS[0])
    late = next(path for path in PATHS[1:] if layout_of(home).bin_of(path) == ref)
    real = Selection.render
    loaded: list[str] = []

    def overtake(selection: Selection, refs: list[BinRef]) -> None:
        real(selection, refs)
        if not loaded:
            loaded.append(late)

    rendering = "gatehouse.gate.publishing.making.splice"
    from gatehouse.tuf.splice import splice  # noqa: PLC0415 -- the real one, beside the one that overtakes

    def splice_late(body: bytes, changes: dict[str, object]) -> bytes:
        if loaded == [late]:
            loaded.append("done")
            load(home, late)
        return splice(body, changes)  # type: ignore[arg-type] # handed through

    with monkeypatch.context() as patch:
        patch.setattr(Selection, "render", overtake)
        patch.setattr(rendering, splice_late)
        home.publisher.threads = 1
        journal(home, "files/example/new.zip")
        assert home.publish() >= 1
    client = Client(home.gatehouse, tmp_path / "client")
    assert [client.knows(path) for path in (PATHS[0], late, "files/example/new.zip")] == [True] * 3


def test_targets_cannot_be_loaded_while_a_publication_is_half_way(home: House, tmp_path: Path) -> None:
    journal(home, "files/example/new.zip")
    home.publisher.store = FusedStore(home.gatehouse.metadata_store, Fuse(at=0, after=False))
    with pytest.raises(Crash):
        home.publisher.publish()
    with pytest.raises(Conflict, match="Publication 2 is not finished"):
        load(home, *PATHS)
    home.publisher.store = home.gatehouse.metadata_store
    home.publish()
    load(home, *PATHS)
    home.publish()
    assert published_all(home, tmp_path)


def test_a_publication_is_bounded_by_the_bytes_of_its_bins_and_keeps_the_order_of_changes(home: House) -> None:
    load(home, *PATHS)
    home.publish()
    home.publisher.batch_bytes = bin_file(home, PATHS[0]).stat().st_size + 10
    layout = layout_of(home)
    one, other = (
        next(f"files/x/{n}.zip" for n in range(99) if layout.bin_of(f"files/x/{n}.zip").index == index)
        for index in (0, 1)
    )
    journal(home, one)
    journal(home, other)
    journal(home, one, removed=True)
    assert home.publish() == 3
    with home.gatehouse.database.read() as transaction:
        assert transaction.signing.find_target(one, layout.bin_of(one)) is None
        assert transaction.signing.find_target(other, layout.bin_of(other)) == some_target(other)


def test_renewing_everything_goes_on_until_every_bin_is_new(home: House) -> None:
    load(home, *PATHS)
    home.publish()
    before = roles(home)
    home.publisher.batch_bytes = 1
    assert home.publisher.publish(renew_all=True) is not None
    more = home.publish()
    assert more >= 3
    after = roles(home)
    assert all(after[name] == before[name] + 1 for name in before if "bin" in name)


def test_due_bins_ride_along_a_few_at_a_time_and_the_rest_is_caught_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatehouse.gate.publish._RIDERS", 1)
    clock = HandClock()
    with house(tmp_path / "home", clock=clock) as home:
        clock.advance(home.publisher.next_due() - clock.now() - timedelta(seconds=1))
        before = roles(home)
        journal(home, "files/example/new.zip")
        assert home.publish() == 1
        bins = [name for name in before if "bin" in name]
        risen = {name for name in bins if roles(home)[name] > before[name]}
        assert len(risen) == 2, "its own bin and one more"
        clock.advance(timedelta(hours=6))
        assert home.publish() >= 1
        assert all(roles(home)[name] > before[name] for name in bins)
        assert home.gatehouse.health.overview().warnings == ()


def test_an_idle_publisher_asks_little_and_reads_no_bin(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_arguments: object) -> None:
        raise AssertionError("an idle publisher reads no role and no file")

    with home.gatehouse.database.read() as transaction:
        monkeypatch.setattr(type(transaction.signing), "online_roles", never)
    monkeypatch.setattr(type(home.publisher.store), "read", never)
    for _ in range(3):
        assert home.publisher.publish() is None
        assert home.publisher.next_due() > home.gatehouse.clock.now()


def test_where_the_newest_change_of_a_path_is(home: House) -> None:
    path = "files/example/new.zip"

    def covering() -> tuple[bool, bool] | None:
        with home.gatehouse.database.read() as transaction:
            found = transaction.journal.covering(path)
        if found is None:
            return None
        assert found.entry.change == change(path, removed=found.entry.change.target is None)
        return found.publication is not None, bool(found.publication and found.publication.published_at)

    assert covering() is None
    journal(home, path)
    assert covering() == (False, False)
    home.publish()
    assert covering() == (True, True)
    journal(home, path, removed=True)
    assert covering() == (False, False)
