"""The timetable: from a change of hands that somebody makes to the desk, and nothing twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from gatehouse.catalog.model import FileState
from gatehouse.core.errors import Conflict, NotFound
from gatehouse.core.names import InvalidName
from gatehouse.gate.owners import Owners
from gatehouse.gate.ports import TIMETABLE, Action
from gatehouse.gate.schedule import LEASE
from gatehouse.malware.check import Check, Evidence
from gatehouse.malware.checks.maintainer_turnover import CHECK as TURNOVER
from gatehouse.malware.index_view import IndexView
from gatehouse.malware.lifecycle import State
from gatehouse.malware.model import Kind, Outcome, Subject, Tier
from gatehouse.malware.registry import Registry
from tests.support.lives import Lives, file_check, lives
from tests.support.screening import evidence, page_of
from tests.support.screening import registry_of as file_registry

NAME = "maintainer-turnover"


class Index(Lives):
    """Lives with one scheduled check."""

    scheduled: Check = TURNOVER

    def registry(self) -> Registry:
        files = file_registry(*self.checks)
        page = Registry.load().page(NAME)
        entries = [(check, page_of(check)) for check in files.all()]
        return Registry([*entries, (self.scheduled, replace(page, name=self.scheduled.name))])

    @property
    def owners(self) -> Owners:
        return Owners(database=self.house.gatehouse.database, clock=self.clock)

    def run(self) -> list[tuple[str, int, int]]:
        """What the timetable ran: outcome, found, new."""
        runs = self.house.gatehouse.timetable.run_due("test")
        return [(run.outcome.value, run.found, run.fresh) for run in runs]

    def project(self) -> list[str]:
        """What waits on the desk of the project, by the message."""
        with self.house.gatehouse.database.read() as tx:
            return [each.message for each in tx.screening.waiting(limit=9) if each.subject.kind is Kind.PROJECT]


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with lives(tmp_path / "home", file_check()) as opened:
        found = Index(house=opened.house, clock=opened.clock, checks=opened.checks)
        lifecycle = replace(opened.lifecycle, registry=found.registry)
        timetable = replace(opened.house.gatehouse.timetable, lifecycle=lifecycle)
        found.house.gatehouse = replace(opened.house.gatehouse, lifecycle=lifecycle, timetable=timetable)
        found.sync()
        yield found


def established(index: Index) -> None:
    """A project of Alice's that has been there for a year; Mallory has an account."""
    index.upload("example")
    index.clock.advance(timedelta(days=365))
    index.house.gatehouse.tokens.create("mallory")


def taken_over(index: Index, *, whole: bool = False) -> None:
    established(index)
    index.owners.add("example", "mallory", actor="alice")
    if whole:
        index.owners.remove("example", "alice", actor="mallory")
    index.clock.advance(timedelta(hours=1))
    release(index, "2.0", by="mallory")


def release(index: Index, version: str, *, by: str) -> None:
    index.house.account = by
    index.upload("example", version=version)
    index.house.account = "alice"


@pytest.mark.parametrize(("whole", "tier"), [(False, Tier.QUEUE), (True, Tier.ALERT)])
def test_a_take_over_reaches_the_desk_and_holds_nothing(index: Index, *, whole: bool, tier: Tier) -> None:
    taken_over(index, whole=whole)
    assert index.run() == [("flagged", 1, 1)]
    (message,) = index.project()
    assert message.startswith("mallory came to an established project and released 2.0 within a day")
    with index.house.gatehouse.database.read() as tx:
        (waiting,) = tx.screening.waiting(limit=9)
        record = tx.screening.get(waiting.screening_id)
    assert (waiting.tier, waiting.checks, record.trigger) == (tier, (NAME,), TIMETABLE)
    assert record.screened.findings[0].chain[-1].startswith("2.0 released by mallory, 2027-")
    assert index.house.file("example-2.0-py3-none-any.whl").state is FileState.PUBLISHED


def test_nothing_is_told_twice_and_news_of_the_same_project_is(index: Index) -> None:
    taken_over(index)
    index.run()
    index.clock.advance(timedelta(hours=2))
    assert index.run() == [("flagged", 1, 0)]
    release(index, "2.1", by="mallory")
    index.clock.advance(timedelta(hours=1))
    assert index.run() == [("flagged", 2, 1)]
    with index.house.gatehouse.database.read() as tx:
        (waiting,) = tx.screening.waiting(limit=9)
        whole = tx.screening.get(waiting.screening_id).screened
    assert len(whole.findings) == 2


def test_what_was_decided_does_not_come_back_and_what_is_new_does(index: Index) -> None:
    taken_over(index)
    index.run()
    subject = Subject(source="local", kind=Kind.PROJECT, name="example")
    index.house.gatehouse.decide(actor="alice", subject=subject, action=Action.LET_THROUGH, reason="a handover")
    for _ in range(3):
        index.clock.advance(timedelta(hours=2))
        index.run()
    assert index.project() == []


def test_an_upload_that_is_clean_takes_no_warning_of_the_timetable_off_the_desk(index: Index) -> None:
    index.checks.append(file_check("names", kind=Kind.PROJECT, scan=lambda _view: ()))
    index.sync()
    index.move(State.ENABLED, Tier.QUEUE, name="names")
    taken_over(index)
    index.run()
    before = index.project()
    with index.house.gatehouse.database.write() as tx:
        file_id = index.house.file("example-1.0-py3-none-any.whl").id
        tx.outbox.add("screen-file", {"file_id": file_id}, at=index.clock.now())
    assert index.screen() == 1
    assert index.engine.jobs[-1].with_project or index.project()
    assert index.project() == before != []


def test_it_runs_as_often_as_it_says_and_only_one_process_does(index: Index) -> None:
    assert len(index.run()) == 1
    assert index.run() == []
    index.clock.advance(timedelta(minutes=59))
    assert index.run() == []
    index.clock.advance(timedelta(minutes=2))
    with index.house.gatehouse.database.write() as tx:
        lease = tx.leases.acquire(LEASE, "another", ttl=timedelta(minutes=1), now=index.clock.now())
    assert lease is not None
    assert index.run() == []
    index.clock.advance(timedelta(minutes=2))
    assert len(index.run()) == 1


def test_in_the_shadow_it_tells_nobody_and_retired_it_does_not_run(index: Index) -> None:
    index.move(State.SHADOW, name=NAME)
    taken_over(index)
    assert index.run() == [("flagged", 1, 1)]
    assert index.project() == []
    index.move(State.RETIRED, name=NAME)
    index.clock.advance(timedelta(hours=2))
    assert index.run() == []


def test_what_the_shadow_had_seen_is_news_once_the_check_acts(index: Index) -> None:
    index.move(State.SHADOW, name=NAME)
    taken_over(index)
    index.run()
    index.move(State.ENABLED, Tier.ALERT, name=NAME)
    index.clock.advance(timedelta(hours=2))
    assert index.run() == [("flagged", 1, 1)]
    assert len(index.project()) == 1


def test_an_honest_index_is_clean(index: Index) -> None:
    established(index)
    index.owners.add("example", "mallory", actor="alice")
    index.clock.advance(timedelta(days=3))
    release(index, "2.0", by="mallory")
    release(index, "3.0", by="alice")
    index.house.account = "bob"
    index.upload("young")
    assert index.run() == [("clean", 0, 0)]


def _of_a_stranger(_view: IndexView) -> Iterable[Evidence]:
    stranger = Subject(source="local", kind=Kind.PROJECT, name="nobody")
    return [replace(evidence("of nobody"), subject=stranger)]


def _breaks(view: IndexView) -> Iterable[Evidence]:
    yield replace(evidence("seen before it broke"), subject=view.projects[0].subject)
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("scan", "reason", "found"),
    [
        (_breaks, "it failed: ZeroDivisionError", 1),
        (_of_a_stranger, "it found something of a subject that it was not shown", 0),
        (lambda _view: [evidence("of whom?")], "it found something of a subject that it was not shown", 0),
    ],
)
def test_a_check_that_breaks_is_incomplete_aloud_and_what_it_had_found_stands(
    index: Index, scan: object, reason: str, found: int
) -> None:
    established(index)
    release(index, "2.0", by="alice")
    index.scheduled = replace(TURNOVER, scan=scan)  # type: ignore[arg-type] # a scan that misbehaves
    (ran,) = index.house.gatehouse.timetable.run_due("test")
    assert (ran.outcome, ran.reason, ran.found) == (Outcome.INCOMPLETE, reason, found)
    with index.house.gatehouse.database.read() as tx:
        assert tx.checks.last_timetable(NAME, "1") == ran


def test_histories_tell_who_was_there_from_the_beginning(index: Index) -> None:
    taken_over(index, whole=True)
    with index.house.gatehouse.database.read() as tx:
        (history,) = tx.checks.histories(since=index.clock.now() - timedelta(days=1))
    began = history.releases[0].at
    assert history.members_at(began) == {"alice"}
    assert history.members_at(index.clock.now()) == {"mallory"}
    assert [(change.user, change.added, change.by) for change in history.roles] == [
        ("alice", True, None),
        ("mallory", True, "alice"),
        ("alice", False, "mallory"),
    ]
    assert [(each.version, each.uploader) for each in history.releases] == [("1.0", "alice"), ("2.0", "mallory")]
    with index.house.gatehouse.database.read() as tx:
        assert tx.checks.histories(since=index.clock.now()) == []


def test_owners_come_and_go_and_the_last_one_stays(index: Index) -> None:
    index.upload("example")
    owners = index.owners
    index.house.gatehouse.tokens.create("bob")
    with pytest.raises(Conflict, match="last owner"):
        owners.remove("example", "alice", actor="alice")
    owners.add("Example", "bob", actor="alice")
    with pytest.raises(Conflict, match="owns 'example' already"):
        owners.add("example", "bob", actor="alice")
    owners.remove("example", "alice", actor="bob")
    assert [account.name for account in owners.of("example")] == ["bob"]
    with pytest.raises(Conflict, match="does not own"):
        owners.remove("example", "alice", actor="bob")
    with pytest.raises(NotFound, match="no account"):
        owners.add("example", "nobody", actor="alice")
    with pytest.raises(NotFound, match="no project"):
        owners.add("nothing", "bob", actor="alice")
    with pytest.raises(InvalidName):
        owners.of("../x")
