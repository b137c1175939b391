"""The keeper does what is due, one part's fault keeps no other from its turn, and only one process does it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gatehouse.gate.keep.keeper import Keeper, alone
from gatehouse.wiring.keeping import build_keeper
from gatehouse.worker.keeper import KeeperLoop
from tests.support.house import HandClock, House, house
from tests.support.keeping import metadata


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path / "home", clock=HandClock(), metadata_archive=str(tmp_path / "archives")) as opened:
        for number in range(3):
            opened.wheel(f"p{number}")
            opened.work()
        yield opened


@pytest.fixture
def keeper(home: House) -> Keeper:
    keeper = build_keeper(home.gatehouse)
    keeper.collect = replace(keeper.collect, keep=1)
    return keeper


def archives(home: House) -> list[str]:
    return sorted(path.name for path in Path(home.gatehouse.settings.metadata_archive).iterdir())


def done(keeper: Keeper, **options: bool) -> list[str]:
    """What the keeper says that it did."""
    with capture_logs() as logs:
        keeper(stopping=lambda: False, **options)
    return [str(entry["event"]) for entry in logs]


def test_all_that_is_due_is_done_and_not_again_before_its_time(home: House, keeper: Keeper) -> None:
    assert home.clock is not None
    home.clock.advance(timedelta(hours=2))
    assert done(keeper) == ["obsolete metadata deleted", "metadata archived"]
    assert done(keeper) == []
    assert len(archives(home)) == 1
    home.clock.advance(timedelta(days=1))
    assert done(keeper) == ["metadata archived"]


def test_a_part_that_fails_keeps_no_other_from_its_turn(home: House, keeper: Keeper) -> None:
    (metadata(home) / "timestamp.json").write_bytes(b"{")
    with capture_logs() as logs:
        keeper(stopping=lambda: False)
    assert [(entry["event"], entry["part"]) for entry in logs] == [
        ("keeping failed", part) for part in ("clean-up", "archive", "sweep")
    ]
    assert all("timestamp.json" in str(entry["reason"]) for entry in logs)


def test_only_one_process_does_it_at_a_time(home: House, keeper: Keeper) -> None:
    assert home.clock is not None
    home.clock.advance(timedelta(minutes=30))
    with alone(home.gatehouse.database, "another", home.clock) as mine:
        assert mine
        assert done(keeper) == []
        # Unless this process knows that the other is dead.
        assert done(keeper, steal=True) == ["metadata archived"]


def test_what_is_told_to_stop_begins_nothing_more(home: House, keeper: Keeper) -> None:
    with capture_logs() as logs:
        keeper(stopping=lambda: True)
    assert logs == []
    assert archives(home) == []


def test_the_loop_waits_first_and_then_comes_every_hour(keeper: Keeper, home: House) -> None:
    loop = KeeperLoop(keeper, steal=True, first_after=300.0, every=3600.0)
    assert loop.round() == 300.0
    assert archives(home) == []
    assert loop.round() == 3600.0
    assert len(archives(home)) == 1
