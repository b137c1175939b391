"""Whether the newest change of a target is published: from what is committed, no sooner than seen."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gatehouse.core.names import InvalidName, file_target
from gatehouse.gate.coverage import CoverageState, Covers, NoRoom
from gatehouse.tuf.model import Target
from tests.support.distributions import build_wheel
from tests.support.house import House, house
from tests.support.targets import by_bin
from tests.support.waiting import wait_until


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path / "home") as ready:
        yield ready


def covers(home: House, *, waiters: int = 2) -> Covers:
    return Covers(database=home.gatehouse.database, trust=home.gatehouse.trust, waiters=waiters, poll=0.01)


def journalled(home: House, version: str = "1.0") -> str:
    """The target of a file whose change waits for the publisher."""
    filename, _ = distribution = build_wheel("example", version)
    home.upload(distribution)
    home.screen()
    return file_target("example", filename)


def test_a_change_is_pending_until_its_timestamp_has_moved(home: House) -> None:
    path = journalled(home)
    look = covers(home).look
    pending = look(path)
    assert (pending.state, pending.snapshot_version, pending.published_at) == (CoverageState.PENDING, None, None)
    home.publish()
    covered = look(path)
    with home.gatehouse.database.read() as transaction:
        last = transaction.signing.last_publication()
    assert last is not None
    assert covered.state is CoverageState.COVERED
    assert (covered.sha256, covered.length) == (pending.sha256, pending.length)
    assert (covered.snapshot_version, covered.timestamp_version) == (last.snapshot_version, last.timestamp_version)
    assert (covered.publication, covered.published_at) == (last.id, last.published_at)


def test_the_snapshot_that_first_covered_it_stays_the_answer(home: House) -> None:
    path = journalled(home)
    home.publish()
    first = covers(home).look(path)
    journalled(home, "2.0")
    home.publish()
    assert covers(home).look(path) == first


def test_what_was_never_there_is_absent_and_what_left_is_absent_since_a_publication(home: House) -> None:
    look = covers(home).look
    path = journalled(home)
    home.publish()
    assert look(file_target("example", "other-1.0-py3-none-any.whl")).state is CoverageState.ABSENT
    home.gatehouse.manage.delete_project(home.authority(), "example")
    leaving = look(path)
    assert (leaving.state, leaving.sha256, leaving.length) == (CoverageState.PENDING, None, None)
    home.publish()
    left = look(path)
    assert (left.state, left.sha256) == (CoverageState.ABSENT, None)
    assert left.snapshot_version is not None


def test_pages_are_targets_too(home: House) -> None:
    journalled(home)
    home.publish()
    assert covers(home).look("simple/example/index.html").state is CoverageState.COVERED


def test_an_imported_target_is_covered_when_its_bin_has_been_signed_since(home: House) -> None:
    path = "files/imported/imported-1.0.tar.gz"
    target = Target(path=path, sha256="ab" * 32, length=7)
    with home.gatehouse.database.write() as transaction:
        ref = home.gatehouse.trust.state(transaction).layout.bin_of(path)
        transaction.signing.load_targets(by_bin([(ref, target)]))
    look = covers(home).look
    assert look(path).state is CoverageState.PENDING
    with home.gatehouse.database.write() as transaction:
        transaction.signing.settle_dirty(transaction.signing.dirty_bins(limit=10))
    covered = look(path)
    assert (covered.state, covered.sha256, covered.length) == (CoverageState.COVERED, "ab" * 32, 7)
    assert covered.snapshot_version is not None


def test_a_path_outside_the_grammar_is_refused(home: House) -> None:
    story = covers(home)
    for path in ("", "x", "files/x", "files/X/x.whl", "files/x/../y", "audit/x/y", "simple/x/y"):
        with pytest.raises(InvalidName):
            story.wait(path, 5, until_there=True)


class TestWaiting:
    def test_who_waits_is_answered_when_it_is_published(self, home: House) -> None:
        path, story = journalled(home), covers(home)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(story.wait, path, 600, until_there=False)
            wait_until(lambda: story._waiting == 1)
            home.publish()
            assert waiting.result(60).state is CoverageState.COVERED

    def test_when_the_time_is_over_the_answer_says_how_far_it_is(self, home: House) -> None:
        path = journalled(home)
        began = time.monotonic()
        assert covers(home).wait(path, 0.1, until_there=False).state is CoverageState.PENDING
        assert time.monotonic() - began >= 0.1

    def test_what_is_covered_or_absent_is_answered_at_once(self, home: House) -> None:
        path, story = journalled(home), covers(home, waiters=0)
        home.publish()
        assert story.wait(path, 20, until_there=True).state is CoverageState.COVERED
        absent = file_target("example", "other-1.0-py3-none-any.whl")
        assert story.wait(absent, 20, until_there=False).state is CoverageState.ABSENT

    def test_who_may_waits_for_what_is_still_being_screened(self, home: House) -> None:
        filename, _ = distribution = build_wheel("example", "3.0")
        home.upload(distribution)
        story = covers(home)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(story.wait, file_target("example", filename), 600, until_there=True)
            wait_until(lambda: story._waiting == 1)
            home.work()
            assert waiting.result(60).state is CoverageState.COVERED

    def test_no_more_wait_than_may_and_places_come_free_again(self, home: House) -> None:
        path, story = journalled(home), covers(home, waiters=1)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(story.wait, path, 600, until_there=False)
            wait_until(lambda: story._waiting == 1)
            with pytest.raises(NoRoom):
                story.wait(path, 20, until_there=False)
            # Without waiting there is room for all.
            assert story.look(path) == story.wait(path, 0, until_there=True)
            home.publish()
            waiting.result(60)
        assert story.wait(path, 20, until_there=False).state is CoverageState.COVERED
        other = journalled(home, "2.0")
        assert story.wait(other, 0.05, until_there=False).state is CoverageState.PENDING

    def test_a_server_that_ends_keeps_nobody_waiting(self, home: House) -> None:
        path, story = journalled(home), covers(home)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(story.wait, path, 600, until_there=False)
            wait_until(lambda: story._waiting == 1)
            story.close()
            assert waiting.result(60).state is CoverageState.PENDING
