"""A check acts as far as people let it, watches before it acts, and loses a tier for what it was worth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from gatehouse.catalog.model import FileState
from gatehouse.core.errors import CallerError, Conflict, NotFound
from gatehouse.gate.baseline import file_subject
from gatehouse.gate.check_book import CheckBook
from gatehouse.gate.lifecycle import demotions
from gatehouse.gate.ports import Action, RunKind
from gatehouse.gate.screen import MAX_ATTEMPTS
from gatehouse.malware.ledger import Bounds
from gatehouse.malware.lifecycle import Standing, State
from gatehouse.malware.model import Confidence, Kind, Outcome, Tier
from tests.support.lives import WATCHED, Lives, file_check, lives
from tests.support.screening import registry_of

OTHER = file_check("other", "other-mark")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Lives]:
    with lives(tmp_path / "home", file_check(), OTHER) as opened:
        yield opened


def shadowed(home: Lives) -> None:
    """`finder` in the shadow, `other` enabled."""
    home.sync()
    home.move(State.SHADOW)


def test_what_comes_with_an_index_begins_enabled_at_its_ceiling_and_the_system_says_so_once(home: Lives) -> None:
    assert home.sync() == ["finder 1 enabled up to hold", "other 1 enabled up to hold"]
    assert home.sync() == []
    with home.house.gatehouse.database.read() as tx:
        assert {change.actor for change in tx.checks.changes()} == {"system"}


def test_a_check_that_comes_later_watches_first(home: Lives) -> None:
    home.sync()
    home.checks.append(file_check("late", "late-mark"))
    assert home.sync() == ["late 1 shadow"]


def test_a_check_of_a_pack_watches_first_even_in_a_new_index(home: Lives) -> None:
    lifecycle = replace(home.lifecycle, ships=lambda name: name != "finder")
    assert [change.standing.word for change in lifecycle.sync()] == ["shadow", "enabled up to hold"]


def test_in_the_shadow_a_check_sees_uploads_and_reaches_nobody(home: Lives) -> None:
    shadowed(home)
    filename = home.upload("bad", text=WATCHED)
    assert home.house.file(filename).state is FileState.PUBLISHED
    assert home.waiting() == []
    (live,) = home.records(filename, shadow=False)
    (watched,) = home.records(filename, shadow=True)
    assert (live.screened.tier, live.screened.score, live.screened.findings) == (Tier.NONE, 0.0, ())
    assert live.screened.checks == (("other", "1"),)
    # It says what it would have done, with its version.
    assert watched.screened.tier is Tier.HOLD
    assert [(verdict.check, verdict.version) for verdict in watched.screened.verdicts] == [("finder", "1")]


def test_the_dossier_of_a_subject_knows_nothing_of_the_shadow(home: Lives) -> None:
    shadowed(home)
    subject = file_subject(home.house.file(home.upload("bad", text=WATCHED)))
    with home.house.gatehouse.database.read() as tx:
        assert tx.screening.count_screenings(subject) == 1
        assert [each.shadow for each in tx.screening.screenings(subject, limit=10)] == [False]
        latest = tx.screening.latest(subject)
    assert latest is not None
    assert not latest.shadow


def test_a_check_that_breaks_in_the_shadow_holds_nothing_up(home: Lives) -> None:
    shadowed(home)
    filename = home.wheel("fine")
    home.screen()
    home.engine.breaks[filename] = "the child crashed"
    for attempt in range(1, MAX_ATTEMPTS + 1):
        assert home.watch() == 1
        assert len(home.records(filename, shadow=True)) == attempt
        home.retry_later()
    assert home.watch() == 0
    assert home.house.file(filename).state is FileState.PUBLISHED
    assert home.waiting() == []


def test_a_step_holds_from_the_next_job_on(home: Lives) -> None:
    home.sync()
    first = home.upload("first", text=WATCHED)
    home.move(State.RETIRED)
    second = home.upload("second", text=WATCHED)
    assert home.house.file(first).state is FileState.HELD
    assert home.house.file(second).state is FileState.PUBLISHED
    assert [job.checks for job in home.engine.jobs] == [("finder", "other"), ("other",)]


@pytest.mark.parametrize(
    ("tier", "state", "waits"),
    [
        (Tier.NONE, FileState.PUBLISHED, False),
        (Tier.RANK, FileState.PUBLISHED, False),
        (Tier.QUEUE, FileState.PUBLISHED, True),
        (Tier.ALERT, FileState.PUBLISHED, True),
        (Tier.HOLD, FileState.HELD, True),
    ],
)
def test_a_check_reaches_as_far_as_it_is_enabled(
    home: Lives, tier: Tier, state: FileState, *, waits: bool
) -> None:
    shadowed(home)
    home.move(State.ENABLED, tier)
    filename = home.upload("bad", text=WATCHED)
    assert home.house.file(filename).state is state
    assert (home.waiting() == [filename]) is waits
    (record,) = home.records(filename, shadow=False)
    assert record.screened.tier is tier
    assert record.screened.findings, "what it found is kept, whatever it may do with it"
    assert (record.screened.score > 0) is (tier > Tier.NONE)
    assert record.screened.outcome is (Outcome.FLAGGED if tier > Tier.NONE else Outcome.CLEAN)


def test_without_any_check_enabled_nothing_is_clean_and_the_index_says_so(home: Lives) -> None:
    home.sync()
    for name in ("finder", "other"):
        home.move(State.RETIRED, name=name)
    filename = home.wheel("fine")
    for _ in range(MAX_ATTEMPTS):
        home.screen()
        home.retry_later()
    (*_, record) = home.records(filename, shadow=False)
    assert record.screened.outcome is Outcome.INCOMPLETE
    assert record.screened.incomplete_reason == "no check is enabled, so nothing was looked at"
    assert home.house.file(filename).state is FileState.HELD
    assert "No check that reads files is enabled" in str(home.lifecycle.fault())


def test_a_check_of_projects_alone_does_not_make_files_clean(home: Lives) -> None:
    home.checks[:] = [file_check("names", kind=Kind.PROJECT, scan=lambda _view: ())]
    home.sync()
    assert home.lifecycle.fault() is not None
    filename = home.wheel("fine")
    home.screen()
    assert [record.screened.outcome for record in home.records(filename, shadow=False)] == [Outcome.INCOMPLETE]


def test_a_check_that_ran_in_another_version_than_planned_makes_nothing_clean(home: Lives) -> None:
    home.sync()
    filename = home.wheel("fine")
    here = home.lifecycle
    home.checks[0] = file_check(version="2")
    old = replace(here, registry=lambda: registry_of(file_check(), OTHER))
    home.house.gatehouse = replace(home.house.gatehouse, lifecycle=old)
    home.screen()
    (record,) = home.records(filename, shadow=False)
    assert record.screened.outcome is Outcome.INCOMPLETE
    assert record.screened.incomplete_reason == "check finder ran in version 2, not 1"


@pytest.mark.parametrize(
    ("steps", "to", "why"),
    [
        ((), Standing(state=State.DRAFT), "cannot become draft at once"),
        ((), Standing(state=State.ENABLED, tier=Tier.HOLD), "enabled up to hold already"),
        ((State.RETIRED,), Standing(state=State.ENABLED, tier=Tier.QUEUE), "cannot become enabled at once"),
        ((State.SHADOW, State.DRAFT), Standing(state=State.ENABLED, tier=Tier.RANK), "may become retired, shadow"),
        ((State.SHADOW,), Standing(state=State.SHADOW, tier=Tier.RANK), "Only an enabled check has a tier"),
    ],
)
def test_a_step_that_leads_nowhere_is_refused(
    home: Lives, steps: tuple[State, ...], to: Standing, why: str
) -> None:
    home.sync()
    for step in steps:
        home.move(step)
    before = home.standing()
    with pytest.raises(Conflict, match=why):
        home.lifecycle.move("finder", to, actor="alice", reason="because")
    assert home.standing() == before


def test_no_check_goes_above_its_own_ceiling(home: Lives) -> None:
    home.checks.append(file_check("low", ceiling=Tier.QUEUE))
    home.sync()
    home.move(State.SHADOW, name="low")
    with pytest.raises(Conflict, match="goes up to queue at most"):
        home.move(State.ENABLED, Tier.ALERT, name="low")


def test_a_step_needs_a_reason_and_a_check(home: Lives) -> None:
    home.sync()
    for reason in ("", "  \n", "x" * 2001):
        with pytest.raises(CallerError, match="reason"):
            home.lifecycle.move("finder", Standing(state=State.SHADOW), actor="alice", reason=reason)
    with pytest.raises(NotFound):
        home.move(State.SHADOW, name="nobody")
    with pytest.raises(NotFound, match="Version 7"):
        home.lifecycle.move("finder", Standing(state=State.SHADOW), actor="a", reason="b", version="7")


def test_of_two_who_step_at_once_one_is_told(home: Lives) -> None:
    home.sync()
    with home.house.gatehouse.database.write() as tx:
        taken = tx.checks.changes("finder")[-1]
        with pytest.raises(Conflict, match="Somebody else"):
            tx.checks.append(replace(taken, standing=Standing(state=State.RETIRED)))


def test_each_step_stands_in_the_audit_log(home: Lives) -> None:
    home.sync()
    home.move(State.SHADOW, actor="alice")
    with home.house.gatehouse.database.read() as tx:
        entry = tx.audit.recent(limit=1)[0]
    assert (entry.actor, entry.action) == ("alice", "check:state")
    assert (entry.detail["check"], entry.detail["state"], entry.detail["reason"]) == (
        "finder",
        "shadow",
        "because",
    )


# --- new versions ------------------------------------------------------------------------------------------------


def test_a_new_version_of_an_enabled_check_watches_and_a_replay_is_queued(home: Lives) -> None:
    home.sync()
    home.upload("bad", text=WATCHED)
    home.checks[0] = file_check(version="2")
    assert home.sync() == ["finder 2 shadow"]
    with home.house.gatehouse.database.read() as tx:
        (run,) = tx.runs.recent(limit=5)
    assert (run.new.kind, run.new.version, run.new.against, run.new.actor) == (RunKind.REPLAY, "2", "1", "system")
    assert home.lifecycle.superseded() == ["finder 2 is shadow; the version that was enabled is gone"]


def test_a_new_version_that_finds_the_same_takes_the_place_of_the_old_one(home: Lives) -> None:
    home.sync()
    home.move(State.ENABLED, Tier.QUEUE)
    for number in range(3):
        home.upload(f"p{number}", text=WATCHED if number == 1 else "")
    home.checks[0] = file_check(version="2")
    home.sync()
    home.work()
    assert home.standing() == "enabled up to queue"
    with home.house.gatehouse.database.read() as tx:
        change = tx.checks.changes("finder")[-1]
    assert (change.version, change.actor, change.run) == ("2", "system", 1)
    assert "all 3 subjects compared, of 3 drawn (seed" in change.reason
    assert home.lifecycle.superseded() == []


def test_a_new_version_that_finds_something_else_stays_in_the_shadow(home: Lives) -> None:
    home.sync()
    home.upload("bad", text=WATCHED)
    home.upload("other", text="mark")
    home.checks[0] = file_check(word="mark", version="2")
    home.sync()
    home.work()
    assert home.standing() == "shadow"
    with home.house.gatehouse.database.read() as tx:
        (run,) = tx.runs.recent(limit=1)
        differences = tx.runs.differences(run.id, limit=10)
    assert (run.counts.same, run.counts.different) == (0, 2)
    assert min(line for each in differences for line in each.gained)[0] == "has mark"
    assert [line for each in differences for line in each.lost] == [("has marked", "bad/__init__.py")]


def test_a_replay_that_compared_nothing_shows_nothing(home: Lives) -> None:
    home.sync()
    home.checks[0] = file_check(version="2")
    home.sync()
    home.work()
    assert home.standing() == "shadow"


def test_a_replay_does_not_undo_what_a_person_did_meanwhile(home: Lives) -> None:
    home.sync()
    home.upload("fine")
    home.checks[0] = file_check(version="2")
    home.sync()
    home.move(State.RETIRED)
    home.work()
    assert home.standing() == "retired"


@pytest.mark.parametrize("state", [State.SHADOW, State.RETIRED])
def test_a_new_version_of_a_check_that_does_not_act_begins_where_the_old_one_stands(
    home: Lives, state: State
) -> None:
    home.sync()
    home.move(state)
    home.checks[0] = file_check(version="2")
    assert home.sync() == [f"finder 2 {state}"]
    with home.house.gatehouse.database.read() as tx:
        assert tx.runs.recent(limit=5) == []


# --- demotion ----------------------------------------------------------------------------------------------------


def decide(home: Lives, filename: str, action: Action) -> None:
    home.house.gatehouse.decide(
        actor="alice", subject=file_subject(home.house.file(filename)), action=action, reason="looked at it"
    )


def alarm(home: Lives, number: int, action: Action | None = None) -> str:
    filename = home.upload(f"p{number}", text=WATCHED)
    if action is not None:
        decide(home, filename, action)
    return filename


def alarm_of_another(home: Lives, number: int, action: Action | None = None) -> str:
    home.house.account = f"account{number}"
    return alarm(home, number, action)


def test_a_check_that_people_find_wrong_loses_one_tier_and_is_shown(home: Lives) -> None:
    home.sync()
    for number in range(4):
        alarm(home, number, Action.LET_THROUGH)
    assert home.lifecycle.judge() == []
    alarm(home, 4, Action.LET_THROUGH)
    (change,) = home.lifecycle.judge()
    assert (change.check, change.standing.word, change.actor) == ("finder", "enabled up to alert", "system")
    assert "of 5 alarms that people settled 0 were true" in change.reason
    with home.house.gatehouse.database.read() as tx:
        assert tx.audit.recent(limit=1)[0].action == "check:demote"
        assert demotions(tx, now_minus=timedelta(days=7), clock=home.clock) == [change]
        assert demotions(tx, now_minus=timedelta(0), clock=home.clock) == []


def test_the_same_evidence_never_costs_two_tiers(home: Lives) -> None:
    home.sync()
    for number in range(8):
        alarm(home, number, Action.LET_THROUGH)
    assert len(home.lifecycle.judge()) == 1
    for _ in range(3):
        home.clock.advance(timedelta(days=1))
        assert home.lifecycle.judge() == []
    assert home.standing() == "enabled up to alert"


def test_what_a_person_gives_back_is_not_taken_again_for_what_is_past(home: Lives) -> None:
    home.sync()
    for number in range(5):
        alarm(home, number, Action.LET_THROUGH)
    home.lifecycle.judge()
    home.move(State.ENABLED, Tier.HOLD)
    assert home.lifecycle.judge() == []
    for number in range(5, 10):
        alarm(home, number, Action.LET_THROUGH)
    assert [change.standing.tier for change in home.lifecycle.judge()] == [Tier.ALERT]


def test_it_goes_down_to_the_shadow_and_no_further(home: Lives) -> None:
    home.sync()
    words = []
    for number in range(20):
        alarm(home, number, Action.LET_THROUGH)
        words += [change.standing.word for change in home.lifecycle.judge()]
    # At rank it alarms nobody, so nothing speaks against it there.
    assert words == ["enabled up to alert", "enabled up to queue", "enabled up to rank"]


def test_right_unsure_open_and_deleted_alarms_cost_nothing(home: Lives) -> None:
    home.sync()
    for number in range(6):
        alarm(home, number, Action.REMOVE)
    for number in range(6, 12):
        alarm(home, number, Action.HOLD)
    for number in range(12, 18):
        alarm(home, number)
    authority = home.house.authority()
    for number in range(18, 24):
        alarm(home, number)
        home.house.gatehouse.manage.delete_project(authority, f"p{number}")
    assert home.lifecycle.judge() == []
    book = CheckBook(database=home.house.gatehouse.database, clock=home.clock, lifecycle=home.lifecycle)
    ledger = book.page("finder").line.ledger
    assert (ledger.true, ledger.false, ledger.unsure, ledger.open) == (6, 0, 6, 12)


def test_too_many_alarms_in_a_day_cost_a_tier_before_anybody_has_decided(tmp_path: Path) -> None:
    bounds = Bounds(alarms_a_day=3)
    with lives(tmp_path / "home", file_check(), OTHER, bounds=bounds) as home:
        home.sync()
        for number in range(3):
            alarm_of_another(home, number)
        assert home.lifecycle.judge() == []
        home.clock.advance(timedelta(days=2))
        alarm_of_another(home, 3)
        assert home.lifecycle.judge() == []
        for number in range(4, 7):
            alarm_of_another(home, number)
        (change,) = home.lifecycle.judge()
        assert "4 alarms within a day; 3 are allowed" in change.reason


def test_nobody_alone_brings_a_check_down_nor_do_alarms_that_were_right(tmp_path: Path) -> None:
    with lives(tmp_path / "home", file_check(), OTHER, bounds=Bounds(alarms_a_day=2)) as home:
        home.sync()
        for number in range(6):
            alarm(home, number)
        for number in range(6, 12):
            alarm_of_another(home, number, Action.REMOVE)
        alarm_of_another(home, 12)
        assert home.lifecycle.judge() == []
        alarm_of_another(home, 13)
        assert ["3 alarms within a day" in change.reason for change in home.lifecycle.judge()] == [True]


def test_a_demotion_is_told_to_whoever_counts_them(home: Lives) -> None:
    told: list[tuple[str, str]] = []
    lifecycle = replace(home.lifecycle, demoted=lambda check, standing: told.append((check, standing.word)))
    home.sync()
    for number in range(5):
        alarm(home, number, Action.LET_THROUGH)
    lifecycle.judge()
    assert told == [("finder", "enabled up to alert")]


# --- the book ----------------------------------------------------------------------------------------------------


def test_the_book_tells_worth_uniqueness_cost_and_how_long_people_took(home: Lives) -> None:
    home.sync()
    both = home.upload("both", text=f"{WATCHED} other-mark")
    alone = home.upload("alone", text=WATCHED)
    home.clock.advance(timedelta(hours=2))
    for filename in (both, alone):
        decide(home, filename, Action.REMOVE)
    book = CheckBook(database=home.house.gatehouse.database, clock=home.clock, lifecycle=home.lifecycle)
    line = book.page("finder").line
    assert (line.ledger.true, line.ledger.unique) == (2, 1)
    assert line.ledger.to_decision is not None
    assert round(line.ledger.to_decision.total_seconds()) == 2 * 3600
    assert line.cost is not None
    # What was found in code is looked for once more when contexts are settled: finder four times, other three.
    assert line.cost.screenings == 2
    assert line.cost.share == pytest.approx(4 / 7)
    assert line.cost.each == pytest.approx(0.5)


def test_the_book_shows_what_the_shadow_would_have_been_worth(home: Lives) -> None:
    shadowed(home)
    filename = home.upload("bad", text=f"{WATCHED} other-mark")
    decide(home, filename, Action.REMOVE)
    home.upload("good", text=WATCHED)
    book = CheckBook(database=home.house.gatehouse.database, clock=home.clock, lifecycle=home.lifecycle)
    line = book.page("finder").line
    assert (line.ledger.alarms, line.shadow.true, line.shadow.open) == (0, 1, 1)


def test_the_book_knows_no_check_that_is_not_here(home: Lives) -> None:
    book = CheckBook(database=home.house.gatehouse.database, clock=home.clock, lifecycle=home.lifecycle)
    with pytest.raises(NotFound):
        book.page("nobody")


def test_low_confidence_is_no_alarm(home: Lives) -> None:
    home.checks[0] = file_check(confidence=Confidence.LOW)
    home.sync()
    for number in range(6):
        alarm(home, number, Action.LET_THROUGH)
    assert home.lifecycle.judge() == []
