"""What `serve` does beside the web, from its first moment."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from gatehouse.catalog.model import FileState
from gatehouse.worker.beside import working
from tests.support.house import house
from tests.support.waiting import wait_until


def test_what_a_crash_left_of_uploads_goes_at_the_next_start(tmp_path: Path) -> None:
    with house(tmp_path / "home") as home:
        incoming = home.gatehouse.settings.blobs_folder / "incoming"
        left = incoming / "half-an-upload"
        left.write_bytes(b"x" * 1000)
        an_hour_ago = (home.gatehouse.clock.now() - timedelta(hours=1)).timestamp()
        os.utime(left, (an_hour_ago, an_hour_ago))
        with home.gatehouse.blobs.receive() as under_way, working(home.gatehouse, alone=True):
            assert list(incoming.iterdir()) == [under_way.path]


def test_an_upload_goes_its_way_by_itself_and_every_loop_is_well(tmp_path: Path) -> None:
    with house(tmp_path / "home") as home:
        home.publisher.stop()
        with working(home.gatehouse, alone=True):
            filename = home.wheel().file.filename
            wait_until(lambda: home.file(filename).state is FileState.PUBLISHED)
            assert home.gatehouse.health.ready() == []


def test_a_claim_of_a_predecessor_that_died_is_void_for_the_only_process(tmp_path: Path) -> None:
    with house(tmp_path / "home") as home:
        filename = home.wheel().file.filename
        now = home.gatehouse.clock.now()
        with home.gatehouse.database.write() as transaction:
            claimed = transaction.outbox.claim({"screen-file"}, limit=1, now=now, lease=timedelta(hours=1))
        assert len(claimed) == 1
        with working(home.gatehouse, alone=True):
            wait_until(lambda: home.file(filename).state is FileState.PUBLISHED)
