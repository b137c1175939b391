"""A screening decides what becomes visible; an incomplete one is never clean, and people have the last word."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from gatehouse.catalog.model import FileState
from gatehouse.core.errors import Conflict, OperatorError
from gatehouse.gate.accept import SCREEN_FILE
from gatehouse.gate.baseline import file_subject
from gatehouse.gate.ports import Action, Decision
from gatehouse.gate.screen import MAX_ATTEMPTS, MAX_CLAIMS, MAX_LASTING_ATTEMPTS
from gatehouse.malware.job import Job, Report, incomplete
from gatehouse.malware.model import Kind, Outcome, Tier
from gatehouse.wiring import build_screen
from tests.support.distributions import build_sdist, build_wheel
from tests.support.house import HandClock, House, house
from tests.support.tuf_client import Client
from tests.support.waiting import wait_until

COPY = "copied-1.0-py3-none-any.whl"
WHEEL = "example-1.0-py3-none-any.whl"
PATH = f"files/example/{WHEEL}"
PAGE = "simple/example/index.v1.json"


def seen(home: House, tmp_path: Path) -> tuple[bool, bool]:
    """Whether the wheel is on the page, and whether it is a TUF target."""
    found = Client(home.gatehouse, tmp_path / "client").get(PATH, PAGE)
    page = found[PAGE]
    return page is not None and WHEEL.encode() in page, found[PATH] is not None


@pytest.mark.parametrize("tier", [Tier.NONE, Tier.RANK, Tier.QUEUE, Tier.ALERT])
def test_below_hold_a_file_is_published_and_signed(home: House, tmp_path: Path, tier: Tier) -> None:
    home.judge.says[WHEEL] = tier
    home.wheel()
    home.work()
    assert home.file(WHEEL).state is FileState.PUBLISHED
    assert seen(home, tmp_path) == (True, True)
    with home.gatehouse.database.read() as transaction:
        waits = [waiting.subject.filename for waiting in transaction.screening.waiting(limit=10)]
    assert waits == ([WHEEL] if tier >= Tier.QUEUE else [])


def test_at_hold_a_file_is_on_no_page_and_no_target_and_waits_on_the_desk(home: House, tmp_path: Path) -> None:
    home.judge.says[WHEEL] = Tier.HOLD
    file = home.wheel().file
    home.work()
    assert home.file(WHEEL).state is FileState.HELD
    assert home.gatehouse.shelf.file("example", WHEEL) is None
    assert seen(home, tmp_path) == (False, False)
    with home.gatehouse.database.read() as transaction:
        (waiting,) = transaction.screening.waiting(limit=10)
        record = transaction.screening.latest(file_subject(file))
    assert (waiting.tier, waiting.message, waiting.checks) == (Tier.HOLD, "The test says so.", ("told-so",))
    assert record is not None
    assert record.screened.findings[0].line == 3


def test_nothing_is_visible_before_its_screening_has_ended(home: House) -> None:
    home.wheel()
    home.publish()
    assert home.file(WHEEL).state is FileState.ACCEPTED
    assert home.gatehouse.shelf.page("example", "json") is None
    assert home.gatehouse.shelf.file("example", WHEEL) is None


def test_publish_then_screen_takes_a_held_file_back(tmp_path: Path) -> None:
    with house(tmp_path / "home", publish_policy="publish_then_screen") as home:
        home.judge.says[WHEEL] = Tier.HOLD
        home.wheel()
        home.let_in()
        home.publish()
        assert seen(home, tmp_path) == (True, True)
        home.screen()
        home.publish()
        assert seen(home, tmp_path) == (False, False)


def test_letting_through_publishes_and_signs_and_settles(home: House, tmp_path: Path) -> None:
    home.judge.says[WHEEL] = Tier.HOLD
    subject = file_subject(home.wheel().file)
    home.work()
    home.gatehouse.decide(actor="eve", subject=subject, action=Action.LET_THROUGH, reason="a false alarm")
    home.publish()
    assert seen(home, tmp_path) == (True, True)
    with home.gatehouse.database.read() as transaction:
        assert transaction.screening.waiting(limit=10) == []
        (decision,) = transaction.screening.decisions(subject)
        (entry, *_) = transaction.audit.recent(limit=5)
    assert (decision.actor, decision.action, decision.reason) == ("eve", Action.LET_THROUGH, "a false alarm")
    assert (entry.actor, entry.action) == ("eve", "decision:let-through")


def test_a_near_copy_of_what_a_person_removed_waits_on_the_desk_and_is_not_held(home: House) -> None:
    home.judge.says[WHEEL] = Tier.HOLD
    home.judge.fingerprints |= {WHEEL: (1, 2), COPY: (3, 2)}
    removed = home.wheel().file
    home.work()
    home.gatehouse.decide(actor="eve", subject=file_subject(removed), action=Action.REMOVE, reason="it steals")
    copy = file_subject(home.wheel("copied").file)
    home.work()
    assert home.file(COPY).state is FileState.PUBLISHED
    with home.gatehouse.database.read() as transaction:
        (waiting,) = transaction.screening.waiting(limit=10)
    assert (waiting.subject, waiting.tier, waiting.checks) == (copy, Tier.QUEUE, ("near-copy",))
    assert waiting.message == "its code is nearly that of 1 file that people removed"


def test_a_removal_takes_a_file_out_and_a_restoration_brings_it_back(home: House, tmp_path: Path) -> None:
    subject = file_subject(home.wheel().file)
    home.work()
    assert seen(home, tmp_path) == (True, True)
    for action, state in ((Action.REMOVE, False), (Action.RESTORE, True), (Action.HOLD, False)):
        home.gatehouse.decide(actor="eve", subject=subject, action=action, reason="because")
        home.publish()
        assert seen(home, tmp_path) == (state, state), action
        assert (home.gatehouse.shelf.file("example", WHEEL) is not None) is state


def test_a_later_screening_does_not_overrule_a_person(tmp_path: Path) -> None:
    with house(tmp_path / "home", publish_policy="publish_then_screen") as home:
        home.judge.says[WHEEL] = Tier.HOLD
        subject = file_subject(home.wheel().file)
        home.let_in()
        home.gatehouse.decide(actor="eve", subject=subject, action=Action.LET_THROUGH, reason="known good")
        home.screen()
        assert home.file(WHEEL).state is FileState.PUBLISHED


@pytest.mark.parametrize(
    ("setting", "state"), [("hold", FileState.HELD), ("publish_and_alarm", FileState.PUBLISHED)]
)
def test_an_incomplete_screening_is_retried_and_then_means_what_the_operator_chose(
    tmp_path: Path, setting: str, state: FileState
) -> None:
    clock = HandClock()
    with house(tmp_path / "home", clock=clock, when_screening_fails=setting) as home:
        home.judge.says[WHEEL] = "ran longer than 30 s"
        subject = file_subject(home.wheel().file)
        for attempt in range(1, MAX_ATTEMPTS + 1):
            assert home.file(WHEEL).state is FileState.ACCEPTED
            assert home.screen() == 1, f"attempt {attempt}"
            clock.advance(timedelta(minutes=1))
        assert home.screen() == 0
        assert home.file(WHEEL).state is state
        with home.gatehouse.database.read() as transaction:
            records = transaction.screening.screenings(subject, limit=10)
            (waiting,) = (w for w in transaction.screening.waiting(limit=10) if w.subject == subject)
        assert [record.attempt for record in records] == [3, 2, 1]
        assert {record.screened.outcome for record in records} == {Outcome.INCOMPLETE}
        assert (waiting.outcome, waiting.message) == (Outcome.INCOMPLETE, "ran longer than 30 s")


def test_an_incomplete_screening_that_succeeds_later_leaves_the_desk(tmp_path: Path) -> None:
    clock = HandClock()
    with house(tmp_path / "home", clock=clock) as home:
        home.judge.says[WHEEL] = "the child was killed by signal 11"
        home.wheel()
        home.screen()
        del home.judge.says[WHEEL]
        clock.advance(timedelta(minutes=1))
        home.work()
        assert home.file(WHEEL).state is FileState.PUBLISHED
        with home.gatehouse.database.read() as transaction:
            assert transaction.screening.waiting(limit=10) == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OperatorError("There is no sandbox here."), "There is no sandbox here."),
        (RuntimeError("/a/path of ours"), "it could not be run: RuntimeError"),
    ],
)
def test_no_sandbox_means_incomplete_and_never_clean(tmp_path: Path, error: Exception, reason: str) -> None:
    def screen(job: Job, archive: Path) -> Report:  # noqa: ARG001 -- the port's names
        raise error

    clock = HandClock()
    with house(tmp_path / "home", clock=clock) as home:
        home.judge.screen = screen  # type: ignore[method-assign] # a judge that cannot judge
        subject = file_subject(home.wheel().file)
        for _ in range(MAX_ATTEMPTS):
            home.screen()
            clock.advance(timedelta(minutes=1))
        assert home.file(WHEEL).state is FileState.HELD
        with home.gatehouse.database.read() as transaction:
            record = transaction.screening.latest(subject)
        assert record is not None
        assert record.screened.incomplete_reason == reason


@pytest.mark.parametrize(
    ("setting", "state"), [("hold", FileState.HELD), ("publish_and_alarm", FileState.PUBLISHED)]
)
def test_a_project_that_could_not_be_screened_is_no_clean_file(
    tmp_path: Path, setting: str, state: FileState
) -> None:
    clock = HandClock()
    with house(tmp_path / "home", clock=clock, when_screening_fails=setting) as home:
        home.judge.says["example"] = "check lookalike-name failed: RecursionError"
        home.wheel()
        for _ in range(MAX_ATTEMPTS):
            home.screen()
            clock.advance(timedelta(minutes=1))
        assert home.file(WHEEL).state is state
        with home.gatehouse.database.read() as transaction:
            (waiting,) = transaction.screening.waiting(limit=10)
        assert (waiting.subject.kind, waiting.outcome) == (Kind.PROJECT, Outcome.INCOMPLETE)
        home.gatehouse.decide(actor="eve", subject=waiting.subject, action=Action.LET_THROUGH, reason="looked at")
        assert home.file(WHEEL).state is FileState.PUBLISHED


def test_a_person_who_is_just_deciding_is_not_overrun(postgres_url: str, tmp_path: Path) -> None:
    """On SQLite writers stand in line; PostgreSQL lets them meet."""
    settings: dict[str, Any] = {"database_url": postgres_url, "publish_policy": "publish_then_screen"}
    with house(tmp_path / "home", **settings) as home, ThreadPoolExecutor() as pool:
        home.judge.says[WHEEL] = Tier.HOLD
        subject = file_subject(home.wheel().file)
        home.let_in()
        with home.gatehouse.database.write() as transaction:
            transaction.catalog.find_project("example", lock=True)
            screening = pool.submit(home.screen)
            wait_until(lambda: _somebody_waits_for_a_lock(postgres_url))
            transaction.screening.decide(
                Decision(
                    subject=subject,
                    actor="eve",
                    action=Action.LET_THROUGH,
                    reason="known good",
                    at=home.gatehouse.clock.now(),
                )
            )
        assert screening.result(60) == 1
        assert home.file(WHEEL).state is FileState.PUBLISHED


def _somebody_waits_for_a_lock(url: str) -> bool:
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()
    return row is not None and row[0] > 0


def test_verdicts_outlive_what_they_judge(home: House) -> None:
    authority = home.authority()
    home.judge.says[WHEEL] = Tier.QUEUE
    file = home.upload(build_wheel("example", "1.0"), authority=authority).file
    home.work()
    home.gatehouse.manage.delete_project(authority, "example")
    with home.gatehouse.database.read() as transaction:
        record = transaction.screening.latest(file_subject(file))
    assert record is not None
    assert record.screened.verdicts[0].check == "told-so"


def test_what_its_owner_deleted_can_still_be_judged(home: House) -> None:
    authority = home.authority()
    home.judge.says[WHEEL] = Tier.QUEUE
    subject = file_subject(home.upload(build_wheel("example", "1.0"), authority=authority).file)
    home.work()
    home.gatehouse.manage.delete_project(authority, "example")
    with pytest.raises(Conflict, match="nothing to restore: what it has is deleted"):
        home.gatehouse.decide(actor="eve", subject=subject, action=Action.RESTORE, reason="why")
    home.gatehouse.decide(actor="eve", subject=subject, action=Action.REMOVE, reason="it was malware")
    assert home.file(WHEEL).state is FileState.DELETED
    with home.gatehouse.database.read() as transaction:
        assert transaction.screening.waiting(limit=10) == []
        assert transaction.screening.decisions(subject)[0].reason == "it was malware"


def test_the_job_knows_the_release_and_the_project(home: House) -> None:
    authority = home.authority()
    home.upload(build_wheel("example", "1.0"), authority=authority)
    home.upload(build_sdist("example", "1.0"), authority=authority)
    home.screen()
    first, second = home.judge.jobs
    assert first.with_project
    assert not second.with_project
    assert {file.filename for file in second.release_files} == {WHEEL, "example-1.0.tar.gz"}
    assert second.core_metadata["name"] == "example"
    assert second.archive_format == "tar.gz"


def test_the_job_knows_who_sent_the_file_and_what_else_they_own(home: House) -> None:
    authority = home.authority()
    home.upload(build_wheel("example", "1.0"), authority=authority)
    home.upload(build_wheel("other", "1.0"), authority=authority)
    home.screen()
    sender = home.judge.jobs[-1].sender
    assert sender is not None
    assert sender.account == authority.account.name
    assert sender.projects == ("example", "other")
    assert sender.since is not None
    # A local account's way of proving itself is not recorded, and what is not known is not told.
    assert (sender.trusted_publisher, sender.second_factor) == (None, None)


def test_a_first_file_that_is_deleted_before_its_screening_spares_its_project_nothing(home: House) -> None:
    authority = home.authority()
    home.upload(build_wheel("example", "1.0"), authority=authority)
    home.gatehouse.manage.delete_file(authority, "example", "1.0", WHEEL)
    home.upload(build_wheel("example", "2.0"), authority=authority)
    home.screen()
    home.upload(build_wheel("example", "3.0"), authority=authority)
    home.screen()
    assert [job.with_project for job in home.judge.jobs] == [True, False]


def test_what_the_same_bytes_would_end_in_again_is_tried_once_more_and_not_twice(tmp_path: Path) -> None:
    clock = HandClock()
    with house(tmp_path / "home", clock=clock) as home:

        def spent(job: Job, archive: Path) -> Report:
            del archive
            return replace(incomplete(job, "used more than 20 s of processor time"), lasting=True)

        home.judge.screen = spent  # type: ignore[method-assign] # a judge that knows one answer
        file = home.wheel().file
        runs = 0
        while home.screen():
            runs += 1
            clock.advance(timedelta(minutes=1))
        with home.gatehouse.database.read() as transaction:
            assert transaction.screening.count_screenings(file_subject(file)) == runs == MAX_LASTING_ATTEMPTS
        assert home.file(WHEEL).state is FileState.HELD


def test_who_lost_the_claim_stores_nothing_and_moves_nothing(tmp_path: Path) -> None:
    clock = HandClock()
    with house(tmp_path / "home", clock=clock) as home:
        file = home.wheel().file
        database = home.gatehouse.database
        lease = timedelta(seconds=30)
        with database.write() as transaction:
            late = transaction.outbox.claim({SCREEN_FILE}, limit=1, now=clock.now(), lease=lease)
        clock.advance(timedelta(minutes=1))
        with database.write() as transaction:
            ours = transaction.outbox.claim({SCREEN_FILE}, limit=1, now=clock.now(), lease=lease)
        story = build_screen(home.gatehouse, home.judge)
        story(late)
        assert home.file(WHEEL).state is FileState.ACCEPTED
        story(ours)
        story(late)
        assert home.file(WHEEL).state is FileState.PUBLISHED
        with database.read() as transaction:
            assert transaction.screening.count_screenings(file_subject(file)) == 1


def test_a_file_that_everybody_dies_of_ends_incomplete_without_another_try(tmp_path: Path) -> None:
    clock = HandClock()
    with house(tmp_path / "home", clock=clock) as home:
        file = home.wheel().file
        for _ in range(MAX_CLAIMS):
            with home.gatehouse.database.write() as transaction:
                assert transaction.outbox.claim(
                    {SCREEN_FILE}, limit=1, now=clock.now(), lease=timedelta(seconds=1)
                )
            clock.advance(timedelta(seconds=2))
        assert home.screen() == 1
        assert home.judge.jobs == []
        assert home.file(WHEEL).state is FileState.HELD
        with home.gatehouse.database.read() as transaction:
            record = transaction.screening.latest(file_subject(file))
    assert record is not None
    assert "ended without an answer" in str(record.screened.incomplete_reason)
