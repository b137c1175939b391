"""Our own publisher, recorded at every write of a story with a crash at each of them, tried in full."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from gatehouse.conformance.recording import METADATA
from gatehouse.conformance.suite import Options, play_all
from gatehouse.gate.keep.collect import Collect
from gatehouse.gate.publish import Publisher
from gatehouse.wiring import build_publisher
from tests.support.crashes import Crash, Fuse, FusedDatabase, FusedStore
from tests.support.distributions import build_wheel
from tests.support.house import HandClock, House, house
from tests.support.recordings import HouseRecorder, RecordingStore

HAM, SPAM = build_wheel("ham", "1.0"), build_wheel("spam", "1.0")
PATHS = ("simple/ham/index.html", "simple/spam/index.html", f"files/ham/{HAM[0]}", f"files/spam/{SPAM[0]}")
#: A publication that signs two bins writes fewer times than this.
MOST_WRITES = 12


def take_over(home: House, recorder: HouseRecorder, fuse: Fuse | None = None) -> None:
    """Another publisher, which finishes what the one before left; both are recorded."""
    recorded = RecordingStore(home.gatehouse.metadata_store, recorder)
    publisher: Publisher = build_publisher(home.gatehouse)
    publisher.store = recorded if fuse is None else FusedStore(recorded, fuse)
    assert publisher.start(steal=True)
    if fuse is not None:
        publisher.database = FusedDatabase(home.gatehouse.database, fuse)
    home.publisher = publisher


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def test_no_crash_of_a_publication_harms_a_client(tmp_path: Path, clock: HandClock) -> None:
    with house(tmp_path / "home", clock=clock) as home:
        recorder = HouseRecorder(home.gatehouse, PATHS, tmp_path / "looks", now=lambda: clock.moment)
        take_over(home, recorder)
        home.upload(HAM)
        home.work()
        burnt = 0
        for at in range(MOST_WRITES):
            clock.advance(timedelta(minutes=7))
            fuse = Fuse(at=at, after=bool(at % 2))
            take_over(home, recorder, fuse)
            with suppress(Crash):
                home.publisher.publish(renew_all=True)
            burnt += fuse.writes > at
            take_over(home, recorder)
        clock.advance(timedelta(hours=20))
        home.upload(SPAM)
        home.work()

    assert burnt > MOST_WRITES // 2, "the crashes must have come"
    recording = recorder.recording()
    report = play_all(recording, Options(sample=40))
    assert report.failed == 0, "\n".join(f"{v.law}: {v.where}: {v.said}" for v in report.violations)
    assert report.states > 60
    last = recording.states[-1].expected
    assert [last[path] is not None for path in PATHS] == [True] * len(PATHS)


def test_clean_up_with_a_grace_harms_no_client(tmp_path: Path, clock: HandClock) -> None:
    with house(tmp_path / "home", clock=clock) as home:
        recorder = HouseRecorder(home.gatehouse, PATHS, tmp_path / "looks", now=lambda: clock.moment)
        take_over(home, recorder)
        went = 0
        for distribution in (HAM, SPAM):
            home.upload(distribution)
            home.work()
            clock.advance(timedelta(minutes=40))
            home.publisher.publish(renew_all=True)
            clock.advance(timedelta(minutes=40))
            collect = Collect(
                database=home.gatehouse.database,
                store=home.publisher.store,
                trust=home.gatehouse.trust,
                clock=clock,
                grace=timedelta(hours=1),
                keep=1,
            )
            went += collect().files
    assert went > 0, "it must have been tried"

    report = play_all(recorder.recording(), Options(sample=100))
    assert report.failed == 0, "\n".join(f"{v.law}: {v.where}: {v.said}" for v in report.violations)


def test_clean_up_without_a_grace_would_be_caught(tmp_path: Path, clock: HandClock) -> None:
    with house(tmp_path / "home", clock=clock) as home:
        recorder = HouseRecorder(home.gatehouse, PATHS, tmp_path / "looks", now=lambda: clock.moment)
        take_over(home, recorder)
        for distribution in (HAM, SPAM):
            home.upload(distribution)
            home.work()
        home.publisher.store.delete(["2.snapshot.json"])
    assert f"{METADATA}2.snapshot.json" not in recorder.recorder.files

    report = play_all(recorder.recording(), Options(sample=60))
    assert report.tally("switch").failed > 0
    assert report.tally("heals").failed == 0


def test_a_publisher_that_moved_the_timestamp_first_would_be_caught(tmp_path: Path, clock: HandClock) -> None:
    class Hasty(RecordingStore):
        """Notes the timestamp before the last file that was written."""

        def move_timestamp(self, data: bytes, *, epoch: int) -> None:
            late = f"{METADATA}2.snapshot.json"
            held_back = recorder.recorder.read(late)
            assert held_back is not None
            recorder.recorder.drop(late)
            self._store.move_timestamp(data, epoch=epoch)
            recorder.recorder.put(f"{METADATA}timestamp.json", data)
            recorder.note("the timestamp, too early")
            recorder.recorder.put(late, held_back)
            recorder.moved("the snapshot after it")

    with house(tmp_path / "home", clock=clock) as home:
        recorder = HouseRecorder(home.gatehouse, PATHS, tmp_path / "looks", now=lambda: clock.moment)
        take_over(home, recorder)
        home.publisher.store = Hasty(home.gatehouse.metadata_store, recorder)
        home.upload(HAM)
        home.work()

    report = play_all(recorder.recording(), Options(sample=60))
    assert {"whole", "fresh", "resting"} <= {tally.law for tally in report.tallies if tally.failed}
