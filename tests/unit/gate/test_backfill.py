"""Runs over what the index holds: shared, restartable, honest about what they looked at, and harmless."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gatehouse.catalog.model import FileState
from gatehouse.core.errors import CallerError, Conflict, NotFound, OperatorError
from gatehouse.gate.backfill import MAX_ATTEMPTS
from gatehouse.gate.baseline import file_subject
from gatehouse.gate.ports import Action, Run, RunKind, RunState
from gatehouse.gate.runs import PIECE
from gatehouse.malware.ledger import Bounds
from gatehouse.malware.lifecycle import State
from gatehouse.malware.model import Kind, Outcome, Tier
from tests.support.lives import WATCHED, Lives, file_check, lives, no_sandbox

LATE = file_check("late", "late-mark")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Lives]:
    with lives(tmp_path / "home", file_check()) as opened:
        opened.sync()
        yield opened


def filled(home: Lives, count: int, *, marked: int = 0) -> list[str]:
    """Uploads that `finder` finds nothing in; the first `marked` have what `late` looks for, which comes later."""
    names = [home.wheel(f"p{number}", text="late-mark" if number < marked else "") for number in range(count)]
    home.screen()
    home.checks.append(LATE)
    home.sync()
    return names


def after(home: Lives, run: Run) -> Run:
    return home.runs.get(run.id)


def test_a_backfill_looks_at_everything_once_stores_it_in_the_shadow_and_moves_nothing(home: Lives) -> None:
    names = filled(home, 2 * PIECE + 3, marked=5)
    run = home.begin(name="late")
    home.work()
    done = after(home, run)
    assert (done.state, done.total, done.counts.done) == (RunState.FINISHED, len(names), len(names))
    assert (done.counts.flagged, done.counts.reached, done.counts.clean) == (5, 5, len(names) - 5)
    assert done.ended_at is not None
    for name in names:
        (record,) = home.records(name, shadow=True)
        assert (record.trigger, record.run_id, record.screened.checks) == ("backfill", run.id, (("late", "1"),))
        assert home.house.file(name).state is FileState.PUBLISHED
    assert home.waiting() == []


def test_what_comes_in_while_it_runs_is_not_its_affair_and_what_goes_is_counted_as_gone(home: Lives) -> None:
    filled(home, PIECE + 2)
    run = home.begin(name="late")
    home.backfill().work_once()
    home.house.gatehouse.manage.delete_project(home.house.authority(), f"p{PIECE}")
    home.upload("newcomer", text="late-mark")
    home.work()
    counts = after(home, run).counts
    assert counts.flagged == 0
    # The one that was deleted was never handed out, or was found gone: it is not looked at either way.
    assert counts.done - counts.gone == PIECE + 1


def test_a_file_that_goes_while_a_worker_has_it_is_gone(home: Lives) -> None:
    filled(home, 3)
    run = home.begin(name="late", sample=3, seed="s")
    home.house.gatehouse.manage.delete_project(home.house.authority(), "p1")
    home.work()
    assert (after(home, run).counts.done, after(home, run).counts.gone) == (3, 1)


def test_a_draft_can_be_run_over_the_index(home: Lives) -> None:
    filled(home, 3, marked=1)
    home.move(State.DRAFT, name="late")
    run = home.begin(name="late")
    home.work()
    assert after(home, run).counts.flagged == 1


def test_a_sample_is_drawn_again_by_its_seed_and_another_seed_draws_another(home: Lives) -> None:
    names = filled(home, 12)
    drawn = []
    for seed in ("one", "one", "two"):
        run = home.begin(name="late", sample=6, seed=seed)
        home.work()
        drawn.append(
            {name for name in names if run.id in {each.run_id for each in home.records(name, shadow=True)}}
        )
        assert (after(home, run).total, after(home, run).counts.done) == (6, 6)
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_sample_without_a_seed_says_the_one_it_drew(home: Lives) -> None:
    filled(home, 2)
    one, two = (home.begin(name="late", sample=2).new.seed for _ in range(2))
    assert one
    assert two
    assert one != two


@pytest.mark.parametrize(
    "more", [{"sample": 0}, {"sample": 10**9}, {"sample": 1, "seed": "x" * 65}, {"sample": 1, "seed": "\udcff"}]
)
def test_a_sample_that_cannot_be_is_refused_and_nothing_begins(home: Lives, more: dict[str, Any]) -> None:
    with pytest.raises(CallerError):
        home.begin(**more)
    with home.house.gatehouse.database.read() as tx:
        assert tx.runs.recent(limit=5) == []


def test_over_nothing_a_run_is_finished_at_once(home: Lives) -> None:
    assert home.begin().state is RunState.FINISHED


def test_a_crash_loses_the_piece_and_nothing_else(home: Lives) -> None:
    names = filled(home, 2 * PIECE, marked=2 * PIECE)
    run = home.begin(name="late")
    home.backfill().work_once()
    with home.house.gatehouse.database.write() as tx:
        lost = tx.runs.claim(run_id=None, piece=PIECE, now=home.clock.now(), lease=timedelta(minutes=5))
    assert lost is not None
    # Its worker is dead. Until the lease ends nobody has its files; then somebody does.
    home.work()
    assert (after(home, run).state, after(home, run).counts.done) == (RunState.RUNNING, PIECE)
    home.retry_later()
    home.work()
    assert (after(home, run).state, after(home, run).counts.done) == (RunState.FINISHED, 2 * PIECE)
    assert [len(home.records(name, shadow=True)) for name in names] == [1] * len(names)


def test_the_only_process_need_not_wait_for_the_leases_of_the_dead(home: Lives) -> None:
    filled(home, 2)
    run = home.begin(name="late")
    with home.house.gatehouse.database.write() as tx:
        tx.runs.claim(run_id=None, piece=PIECE, now=home.clock.now(), lease=timedelta(hours=5))
        tx.runs.unclaim()
    home.work()
    assert after(home, run).state is RunState.FINISHED


def test_a_worker_that_comes_late_stores_nothing(home: Lives) -> None:
    (name,) = filled(home, 1)
    run = home.begin(name="late")
    slow = home.backfill()
    overtaken: list[bool] = []

    class Slow:
        """While this one reads, its lease ends and another does the work."""

        def screen(self, job: object, archive: Path) -> object:
            if not overtaken:
                overtaken.append(True)
                home.retry_later()
                home.work()
            return home.engine.screen(job, archive)  # type: ignore[arg-type] # it passes on what it is given

    replace(slow, screener=Slow()).work_once()  # type: ignore[arg-type] # it screens as the port says
    assert overtaken
    assert after(home, run).counts.done == 1
    assert len(home.records(name, shadow=True)) == 1


def test_many_workers_share_a_run_and_nothing_is_done_twice(home: Lives) -> None:
    names = filled(home, 3 * PIECE)
    run = home.begin(name="late")
    with ThreadPoolExecutor(4) as pool:
        for each in [pool.submit(home.work, run.id) for _ in range(4)]:
            each.result()
    assert (after(home, run).state, after(home, run).counts.done) == (RunState.FINISHED, len(names))
    assert [len(home.records(name, shadow=True)) for name in names] == [1] * len(names)


def test_a_paused_run_hands_out_nothing_and_goes_on_where_it_was(home: Lives) -> None:
    filled(home, 2 * PIECE)
    run = home.begin(name="late")
    home.backfill().work_once()
    home.runs.move(run.id, RunState.PAUSED, actor="alice")
    home.work()
    assert after(home, run).counts.done == PIECE
    home.runs.move(run.id, RunState.RUNNING, actor="alice")
    home.work()
    assert after(home, run).counts.done == 2 * PIECE


def test_what_is_under_way_when_a_run_is_cancelled_is_thrown_away(home: Lives) -> None:
    (name,) = filled(home, 1)
    run = home.begin(name="late")

    class Cancelled:
        def screen(self, job: object, archive: Path) -> object:
            home.runs.move(run.id, RunState.CANCELLED, actor="alice")
            return home.engine.screen(job, archive)  # type: ignore[arg-type] # it passes on what it is given

    replace(home.backfill(), screener=Cancelled()).work_once()  # type: ignore[arg-type] # as above
    assert (after(home, run).state, after(home, run).counts.done) == (RunState.CANCELLED, 0)
    assert home.records(name, shadow=True) == []
    home.work()


@pytest.mark.parametrize(
    ("before", "to"),
    [
        ((), RunState.RUNNING),
        ((RunState.PAUSED,), RunState.PAUSED),
        ((RunState.CANCELLED,), RunState.RUNNING),
        ((RunState.CANCELLED,), RunState.PAUSED),
        ((), RunState.FINISHED),
    ],
)
def test_a_run_goes_only_where_it_can(home: Lives, before: tuple[RunState, ...], to: RunState) -> None:
    filled(home, 1)
    run = home.begin(name="late")
    for state in before:
        home.runs.move(run.id, state, actor="alice")
    with pytest.raises(Conflict):
        home.runs.move(run.id, to, actor="alice")
    with pytest.raises(NotFound):
        home.runs.move(run.id + 1, RunState.PAUSED, actor="alice")


def test_an_incomplete_result_is_counted_as_such_and_never_as_clean(home: Lives) -> None:
    (name,) = filled(home, 1)
    home.engine.breaks[name] = "the child crashed"
    run = home.begin(name="late")
    home.work()
    assert (after(home, run).counts.incomplete, after(home, run).counts.clean) == (1, 0)
    (record,) = home.records(name, shadow=True)
    assert (record.screened.outcome, record.screened.incomplete_reason) == (
        Outcome.INCOMPLETE,
        "the child crashed",
    )


def test_without_a_sandbox_the_piece_is_given_back_and_the_fault_is_told(home: Lives) -> None:
    (name,) = filled(home, 1)
    home.engine.breaks[name] = no_sandbox()
    run = home.begin(name="late")
    with pytest.raises(OperatorError, match="no sandbox"):
        home.backfill().work_once()
    del home.engine.breaks[name]
    home.retry_later()
    home.work()
    assert after(home, run).counts.clean == 1


def test_what_its_worker_dies_of_every_time_ends_as_incomplete(home: Lives) -> None:
    (name,) = filled(home, 1)
    run = home.begin(name="late")
    for _ in range(MAX_ATTEMPTS):
        with home.house.gatehouse.database.write() as tx:
            assert tx.runs.claim(run_id=None, piece=PIECE, now=home.clock.now(), lease=timedelta(minutes=1))
        home.retry_later()
    jobs = len(home.engine.jobs)
    home.work()
    assert (after(home, run).state, after(home, run).counts.incomplete) == (RunState.FINISHED, 1)
    assert len(home.engine.jobs) == jobs
    assert "did not come to an end, 5 times" in str(home.records(name, shadow=True)[0].screened.incomplete_reason)


def test_a_run_whose_check_is_not_here_in_that_version_is_cancelled(home: Lives) -> None:
    filled(home, 1)
    run = home.begin(name="late")
    home.checks[1] = file_check("late", "late-mark", version="2")
    home.work()
    assert after(home, run).state is RunState.CANCELLED


@pytest.mark.parametrize(("kind", "total"), [(Kind.FILE, 5), (Kind.RELEASE, 4), (Kind.PROJECT, 3)])
def test_each_subject_is_looked_at_once(home: Lives, kind: Kind, total: int) -> None:
    for name, version in (("a", "1.0"), ("a", "2.0"), ("b", "1.0"), ("c", "1.0")):
        home.upload(name, version=version)
    home.house.wheel("c", "1.0", tag="py3-none-linux_x86_64")
    home.screen()
    home.checks.append(file_check("wide", kind=kind, scan=lambda _view: ()))
    home.sync()
    run = home.begin(name="wide")
    home.work()
    assert (run.total, after(home, run).counts.done, after(home, run).counts.clean) == (total, total, total)


# --- retro-hunt --------------------------------------------------------------------------------------------------


def test_a_promotion_hunts_for_what_came_before_and_holds_it_as_if_it_came_now(home: Lives) -> None:
    names = filled(home, 4, marked=2)
    step = home.move(State.ENABLED, Tier.HOLD, name="late")
    assert step.retro_hunt is not None
    home.work()
    assert home.runs.get(step.retro_hunt).counts.rescreened == 2
    assert home.screen() == 2
    assert [home.house.file(name).state for name in names] == [FileState.HELD] * 2 + [FileState.PUBLISHED] * 2
    assert sorted(home.waiting()) == sorted(names[:2])
    whole = home.records(names[0], shadow=False)[-1]
    assert whole.trigger == "retro-hunt"
    assert whole.screened.checks == (("finder", "1"), ("late", "1")), "all checks that act have their say again"


def test_up_to_the_queue_a_hunt_asks_people_and_holds_nothing(home: Lives) -> None:
    (name, _) = filled(home, 2, marked=1)
    home.move(State.ENABLED, Tier.QUEUE, name="late")
    home.work()
    home.screen()
    assert home.house.file(name).state is FileState.PUBLISHED
    assert home.waiting() == [name]


@pytest.mark.parametrize("tier", [Tier.NONE, Tier.RANK])
def test_what_reaches_nobody_hunts_nothing(home: Lives, tier: Tier) -> None:
    filled(home, 1, marked=1)
    assert home.move(State.ENABLED, tier, name="late").retro_hunt is None


def test_a_higher_tier_hunts_again_and_a_lower_one_does_not(home: Lives) -> None:
    filled(home, 1, marked=1)
    home.move(State.ENABLED, Tier.QUEUE, name="late")
    assert home.move(State.ENABLED, Tier.HOLD, name="late").retro_hunt is not None
    assert home.move(State.ENABLED, Tier.ALERT, name="late").retro_hunt is None


def test_a_persons_word_stands_against_a_hunt_and_they_are_told(home: Lives) -> None:
    (name,) = filled(home, 1, marked=1)
    home.house.gatehouse.decide(
        actor="alice",
        subject=file_subject(home.house.file(name)),
        action=Action.LET_THROUGH,
        reason="known to be good",
    )
    home.move(State.ENABLED, Tier.HOLD, name="late")
    home.work()
    home.screen()
    assert home.house.file(name).state is FileState.PUBLISHED
    assert home.waiting() == [name]


def test_what_is_out_is_not_taken_back_because_it_cannot_be_read_today(home: Lives) -> None:
    (name,) = filled(home, 1, marked=1)
    home.move(State.ENABLED, Tier.HOLD, name="late")
    home.work()
    home.engine.breaks[name] = "the child crashed"
    for _ in range(5):
        home.screen()
        home.retry_later()
    assert home.house.file(name).state is FileState.PUBLISHED
    assert name in home.waiting()


def test_a_hunt_that_would_fill_the_desk_pauses_itself_until_a_person_looks(tmp_path: Path) -> None:
    with lives(tmp_path / "home", file_check(), bounds=Bounds(alarms_a_day=PIECE)) as home:
        home.sync()
        filled(home, 3 * PIECE, marked=3 * PIECE)
        step = home.move(State.ENABLED, Tier.HOLD, name="late")
        assert step.retro_hunt is not None
        home.work()
        assert home.runs.get(step.retro_hunt).state is RunState.PAUSED
        assert home.runs.get(step.retro_hunt).counts.rescreened == PIECE
        home.runs.move(step.retro_hunt, RunState.RUNNING, actor="alice")
        home.work()
        assert home.runs.get(step.retro_hunt).counts.rescreened == 2 * PIECE


def test_a_check_that_was_stopped_meanwhile_sends_nothing_through_the_gate(home: Lives) -> None:
    filled(home, 1, marked=1)
    home.move(State.ENABLED, Tier.HOLD, name="late")
    home.move(State.RETIRED, name="late")
    home.work()
    assert home.screen() == 0


# --- replay ------------------------------------------------------------------------------------------------------


def test_a_replay_of_the_same_check_finds_the_same(home: Lives) -> None:
    for number in range(3):
        home.upload(f"p{number}", text=WATCHED if number else "")
    run = home.begin(RunKind.REPLAY)
    home.work()
    assert (after(home, run).counts.same, after(home, run).counts.different) == (3, 0)


def test_what_was_never_complete_is_not_compared(home: Lives) -> None:
    name = home.wheel("broken")
    home.engine.breaks[name] = "the child crashed"
    home.screen()
    del home.engine.breaks[name]
    run = home.begin(RunKind.REPLAY)
    home.work()
    assert (after(home, run).counts.same, after(home, run).counts.incomparable) == (0, 1)


def test_two_versions_are_compared_where_both_have_been(home: Lives) -> None:
    home.upload("marked", text=WATCHED)
    home.checks[0] = file_check(word="mark", version="2")
    home.sync()
    home.work()
    home.upload("since", text="mark")
    run = home.begin(RunKind.REPLAY, against="1")
    home.work()
    counts = after(home, run).counts
    assert (counts.different, counts.incomparable) == (1, 1)
