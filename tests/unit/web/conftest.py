"""A house for the tests of the web, set up once; each test uses names of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gatehouse.web.server import Server
from tests.support import quiet_pyramid
from tests.support.sockets import Watch, serving, watched
from tests.support.web_house import WebHouse, form, upload_parts, web_house

__all__ = ["house", "quiet_pyramid", "sample"]


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebHouse]:
    with web_house(tmp_path_factory.mktemp("web") / "home", max_file_size=1024 * 1024) as ready:
        yield ready


@pytest.fixture(scope="session")
def sample(house: WebHouse) -> str:
    """The filename of a wheel of the project `sample-thing` that is published."""
    parts = upload_parts("sample-thing", "1.0")
    assert house.upload(form(parts)).status_int == 200
    house.publish()
    return str(parts[-1][2])  # type: ignore[misc]  # the last part is the file, which has three


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server") / "spool") as ready:
        yield ready


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Watch]:
    """A server on the test's clock, with two threads, that is not patient for long."""
    limits = {"head_seconds": 10.0, "pace_seconds": 10.0, "pace_rate": 1000, "body_seconds": 20.0, "threads": 2}
    with watched(tmp_path / "spool", **limits) as ready:
        yield ready
