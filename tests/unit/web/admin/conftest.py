"""A desk for the tests of the administration, set up once a module; each test uses names of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import quiet_pyramid
from tests.support.desk import Browser, Desk, desk

__all__ = ["alice", "desk_house", "quiet_pyramid"]


@pytest.fixture(scope="module")
def desk_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with desk(tmp_path_factory.mktemp("desk") / "home") as ready:
        yield ready


@pytest.fixture
def alice(desk_house: Desk) -> Browser:
    """A browser in which somebody has logged in."""
    return desk_house.alice()
