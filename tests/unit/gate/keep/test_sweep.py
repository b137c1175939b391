"""Blobs that nothing names go after a grace; what anybody may still ask for, and what is on its way in, stays."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gatehouse.core.digests import sha256_hex
from gatehouse.core.errors import Conflict, NotFound
from gatehouse.gate.baseline import file_subject
from gatehouse.gate.keep.sweep import DISCARD
from gatehouse.gate.keep.witness import RefusedToClean
from gatehouse.gate.ports import Action
from gatehouse.wiring.keeping import build_discard
from tests.support.distributions import build_wheel
from tests.support.house import HandClock, House, house
from tests.support.keeping import restored, sweeper
from tests.support.tuf_client import Client

WHEEL = "example-1.0-py3-none-any.whl"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def age(home: House, *digests: str) -> None:
    """Let blobs be of long ago; all of them if none is named."""
    for sha256 in digests or tuple(home.gatehouse.blobs):
        os.utime(home.gatehouse.blobs.path_of(sha256), (LONG_AGO.timestamp(), LONG_AGO.timestamp()))


def nameless(home: House, content: bytes = b"left by a crash") -> str:
    sha256 = home.gatehouse.blobs.put(content)
    age(home, sha256)
    return sha256


def has(home: House, sha256: str) -> bool:
    return home.gatehouse.blobs.size(sha256) is not None


def page(home: House) -> str:
    served = home.gatehouse.shelf.page("example", "html")
    assert served is not None
    return served.sha256


@pytest.mark.parametrize("content", [b"left by a crash", b""])
def test_an_old_blob_without_a_name_goes(home: House, content: bytes) -> None:
    sha256 = nameless(home, content)
    would = sweeper(home)(dry_run=True)
    assert has(home, sha256)
    done = sweeper(home)()
    assert (done.blobs, done.bytes) == (would.blobs, would.bytes) == (1, len(content))
    assert not has(home, sha256)


def test_all_that_the_index_serves_or_judges_stays(home: House) -> None:
    home.judge.says["held-1.0-py3-none-any.whl"] = "the test cannot tell"
    home.wheel()
    home.work()
    home.wheel("held")
    home.work()
    home.wheel("waiting")
    before = set(home.gatehouse.blobs)
    age(home)
    assert sweeper(home)().blobs == 0
    assert set(home.gatehouse.blobs) == before


def test_a_replaced_page_stays_for_a_grace_and_goes_then(home: House, clock: HandClock, tmp_path: Path) -> None:
    home.wheel()
    home.work()
    first = page(home)
    clock.advance(timedelta(days=2))
    home.wheel("example", "2.0")
    home.work()
    age(home)
    sweep = sweeper(home, grace=timedelta(hours=1))
    clock.advance(timedelta(minutes=59))
    sweep()
    assert has(home, first), "a client that began before the publication may ask for it by its hash"
    clock.advance(timedelta(minutes=2))
    sweep()
    assert not has(home, first)
    assert has(home, page(home))
    client = Client(home.gatehouse, tmp_path / "client")
    assert client.get("simple/example/index.html")["simple/example/index.html"] is not None


def test_a_page_that_waits_for_its_publication_stays_however_long_that_takes(
    home: House, clock: HandClock
) -> None:
    home.wheel()
    home.screen()
    age(home)
    clock.advance(timedelta(days=5))
    assert sweeper(home)().blobs == 0
    home.publish()
    assert has(home, page(home))


def test_a_young_blob_stays_for_it_may_be_on_its_way_in(home: House) -> None:
    sha256 = home.gatehouse.blobs.put(b"a page of a transaction under way")
    assert sweeper(home, grace=timedelta(days=365 * 20))().blobs == 0
    assert has(home, sha256)


def test_bytes_that_are_kept_again_are_young_again(home: House) -> None:
    sha256 = nameless(home, b"the same bytes once more")
    assert home.gatehouse.blobs.put(b"the same bytes once more") == sha256
    assert not home.gatehouse.blobs.is_older(sha256, datetime.now(UTC) - timedelta(minutes=1))


def test_an_upload_of_what_is_being_swept_keeps_its_bytes(home: House) -> None:
    """Whatever way an upload and a sweep meet, a blob that somebody kept is there afterwards."""
    content = b"uploaded again and again"
    sha256 = sha256_hex(content)
    stop = threading.Event()
    old = datetime.now(UTC) - timedelta(seconds=30)

    def sweep() -> None:
        while not stop.is_set():
            home.gatehouse.blobs.remove_old(sha256, older_than=old)

    sweeping = threading.Thread(target=sweep)
    sweeping.start()
    try:
        for _ in range(200):
            nameless_again(home, sha256)
            home.gatehouse.blobs.put(content)
            assert has(home, sha256)
    finally:
        stop.set()
        sweeping.join()


def nameless_again(home: House, sha256: str) -> None:
    path = home.gatehouse.blobs.path_of(sha256)
    try:
        os.utime(path, (LONG_AGO.timestamp(), LONG_AGO.timestamp()))
    except FileNotFoundError:
        return


def test_after_a_restored_backup_nothing_is_swept(home: House) -> None:
    home.wheel()
    home.work()

    def meanwhile() -> None:
        home.wheel("later")
        home.work()

    restored(home, meanwhile)
    age(home)
    before = set(home.gatehouse.blobs)
    with pytest.raises(RefusedToClean, match="ahead of the database"):
        sweeper(home)()
    assert set(home.gatehouse.blobs) == before, "the blobs are all that is left of the later upload"


class TestRemoved:
    """The bytes of a removed file are not handed out; whether they stay is the operator's choice."""

    @pytest.fixture
    def strict(self, set_up: Path, tmp_path: Path) -> Iterator[House]:
        shutil.copytree(set_up, tmp_path / "strict")
        with house(tmp_path / "strict", keep_removed_files=False) as opened:
            opened.wheel()
            opened.work()
            yield opened

    def decide(self, home: House, action: Action) -> None:
        subject = file_subject(home.file(WHEEL))
        home.gatehouse.decide(actor="mia", subject=subject, action=action, reason="The test says so.")

    def discard(self, home: House) -> int:
        now = home.gatehouse.clock.now()
        with home.gatehouse.database.write() as transaction:
            messages = transaction.outbox.claim({DISCARD}, limit=10, now=now, lease=timedelta(minutes=1))
        build_discard(home.gatehouse)(messages)
        return len(messages)

    def test_by_default_they_stay_and_a_restoration_brings_them_back(
        self, home: House, tmp_path: Path, clock: HandClock
    ) -> None:
        home.wheel()
        home.work()
        self.decide(home, Action.REMOVE)
        home.publish()
        age(home)
        clock.advance(timedelta(days=30))
        assert self.discard(home) == 0
        home.publisher.start(steal=True)
        home.publish()
        sweeper(home)()
        assert has(home, home.file(WHEEL).sha256)
        self.decide(home, Action.RESTORE)
        home.publish()
        path = f"files/example/{WHEEL}"
        assert Client(home.gatehouse, tmp_path / "client").get(path)[path] == build_wheel("example", "1.0")[1]

    def test_where_they_may_not_stay_they_go_with_the_decision(self, strict: House) -> None:
        file = strict.file(WHEEL)
        self.decide(strict, Action.REMOVE)
        assert self.discard(strict) == 2  # the archive and its core metadata
        assert not has(strict, file.sha256)
        assert file.metadata_sha256 is not None
        assert not has(strict, file.metadata_sha256)
        with pytest.raises(Conflict, match="cannot be restored"):
            self.decide(strict, Action.RESTORE)

    def test_bytes_that_their_owner_deleted_before_anybody_judged_go_too(self, strict: House) -> None:
        file = strict.file(WHEEL)
        strict.gatehouse.manage.delete_file(strict.authority(), "example", "1.0", WHEEL)
        assert has(strict, file.sha256)
        self.decide(strict, Action.REMOVE)
        self.discard(strict)
        assert not has(strict, file.sha256)

    def test_a_restoration_that_comes_first_keeps_them(self, strict: House) -> None:
        self.decide(strict, Action.REMOVE)
        self.decide(strict, Action.RESTORE)
        assert self.discard(strict) == 2
        assert has(strict, strict.file(WHEEL).sha256)

    def test_bytes_that_another_file_has_too_stay(self, strict: House) -> None:
        metadata = strict.file(WHEEL).metadata_sha256
        assert metadata is not None
        other = self.other(strict)
        with strict.gatehouse.database.engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE files SET metadata_sha256 = ? WHERE filename = ?", (metadata, other)
            )
        self.decide(strict, Action.REMOVE)
        self.discard(strict)
        assert has(strict, metadata)
        assert not has(strict, strict.file(WHEEL).sha256)

    def other(self, home: House) -> str:
        home.wheel("other")
        home.work()
        return "other-1.0-py3-none-any.whl"

    def test_a_message_that_comes_twice_does_no_harm(self, strict: House) -> None:
        sha256 = strict.file(WHEEL).sha256
        self.decide(strict, Action.REMOVE)
        now = strict.gatehouse.clock.now()
        with strict.gatehouse.database.write() as transaction:
            claimed: list[Any] = transaction.outbox.claim({DISCARD}, limit=10, now=now, lease=timedelta(minutes=1))
        build_discard(strict.gatehouse)(claimed)
        build_discard(strict.gatehouse)(claimed)
        with pytest.raises(NotFound):
            strict.gatehouse.blobs.open(sha256)
