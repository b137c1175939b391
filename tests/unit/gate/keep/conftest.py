"""A house whose clock a test moves, for the stories of keeping. It is set up once and copied for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.house import HandClock, House, house


@pytest.fixture(scope="session")
def set_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a first publication and nothing else."""
    folder = tmp_path_factory.mktemp("keep") / "home"
    with house(folder):
        return folder


@pytest.fixture
def clock() -> HandClock:
    """A hand clock that begins now, because clients look at the machine's own."""
    clock = HandClock()
    clock.moment = datetime.now(UTC)
    return clock


@pytest.fixture
def home(set_up: Path, tmp_path: Path, clock: HandClock) -> Iterator[House]:
    shutil.copytree(set_up, tmp_path / "home")
    with house(tmp_path / "home", clock=clock) as opened:
        yield opened
