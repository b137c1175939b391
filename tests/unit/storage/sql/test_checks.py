"""The life of checks and runs as the databases keep them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from gatehouse.core.errors import Conflict, InternalError, LeaseLost
from gatehouse.gate.ports import Counts, NewRun, RunKind, RunState, TimetableRun
from gatehouse.malware.lifecycle import Standing, State, StateChange
from gatehouse.malware.model import Kind, Outcome, Screened, Subject, Tier
from gatehouse.storage.sql.database import SqlDatabase

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LEASE = timedelta(minutes=1)
NEW = NewRun(
    kind=RunKind.BACKFILL, check="finder", version="1", subjects=Kind.FILE, actor="alice", reason="because"
)
SUBJECT = Subject(source="local", kind=Kind.PROJECT, name="example")


def change(number: int, state: State, *, version: str = "1", tier: Tier = Tier.NONE) -> StateChange:
    return StateChange(
        check="finder",
        version=version,
        number=number,
        standing=Standing(state=state, tier=tier),
        actor="alice",
        at=NOW + timedelta(seconds=number),
        reason="because",
        run=7 if number == 2 else None,
    )


def test_steps_come_back_as_they_went_and_the_newest_of_each_version_counts(database: SqlDatabase) -> None:
    steps = [
        change(1, State.SHADOW),
        change(2, State.ENABLED, tier=Tier.ALERT),
        change(1, State.SHADOW, version="10"),
    ]
    with database.write() as tx:
        for step in steps:
            tx.checks.append(step)
    with database.read() as tx:
        assert tx.checks.changes("finder") == tx.checks.changes() == steps
        assert tx.checks.changes("nobody") == []
        assert tx.checks.latest_changes() == {("finder", "1"): steps[1], ("finder", "10"): steps[2]}


def test_no_step_is_taken_twice(database: SqlDatabase) -> None:
    with database.write() as tx:
        tx.checks.append(change(1, State.SHADOW))
    with database.write() as tx, pytest.raises(Conflict):
        tx.checks.append(change(1, State.RETIRED))


@pytest.mark.parametrize("statement", ["UPDATE check_changes SET state = 'enabled'", "DELETE FROM check_changes"])
def test_no_step_is_changed_or_forgotten(database: SqlDatabase, statement: str) -> None:
    with database.write() as tx:
        tx.checks.append(change(1, State.SHADOW))
    with pytest.raises(InternalError, match="append-only"), database.write() as tx:
        tx.checks._connection.execute(text(statement))


def test_a_tier_without_being_enabled_is_refused_by_the_database_itself(database: SqlDatabase) -> None:
    with pytest.raises(InternalError), database.write() as tx:
        tx.checks.append(change(1, State.SHADOW, tier=Tier.HOLD))


def test_a_timetable_run_comes_back(database: SqlDatabase) -> None:
    runs = [
        TimetableRun(
            check="finder",
            version="1",
            started_at=NOW + timedelta(hours=hour),
            finished_at=NOW + timedelta(hours=hour, seconds=1),
            outcome=Outcome.INCOMPLETE if hour else Outcome.CLEAN,
            reason="it failed" if hour else None,
            found=hour,
        )
        for hour in range(2)
    ]
    with database.write() as tx:
        for run in runs:
            tx.checks.add_timetable(run)
    with database.read() as tx:
        assert tx.checks.last_timetable("finder", "1") == runs[1]
        assert tx.checks.last_timetable("finder", "2") is None


def test_pieces_of_a_sample_go_round_by_lease_and_attempt(database: SqlDatabase) -> None:
    with database.write() as tx:
        run_id = tx.runs.add(NEW, files=[3, 1, 2], piece=2, at=NOW)
    with database.write() as tx:
        first = tx.runs.claim(run_id=None, piece=2, now=NOW, lease=LEASE)
        second = tx.runs.claim(run_id=run_id, piece=2, now=NOW, lease=LEASE)
        assert tx.runs.claim(run_id=None, piece=2, now=NOW, lease=LEASE) is None
    assert first is not None
    assert second is not None
    assert (first.files, second.files) == ((3, 1), (2,))
    later = NOW + LEASE
    with database.write() as tx:
        again = tx.runs.claim(run_id=None, piece=2, now=later, lease=LEASE)
        assert again is not None
        assert (again.id, again.attempts) == (first.id, 2)
        tx.runs.finish(second, Counts(done=1, clean=1), at=later)
    with pytest.raises(LeaseLost), database.write() as tx:
        tx.runs.finish(first, Counts(done=2), at=later)
    with database.write() as tx:
        run = tx.runs.finish(again, Counts(done=2, flagged=2), at=later)
    assert (run.state, run.counts, run.ended_at) == (
        RunState.FINISHED,
        Counts(done=3, clean=1, flagged=2),
        later,
    )


def test_what_is_cancelled_is_nobodys(database: SqlDatabase) -> None:
    with database.write() as tx:
        run_id = tx.runs.add(NEW, files=[1], piece=1, at=NOW)
        piece = tx.runs.claim(run_id=run_id, piece=1, now=NOW, lease=LEASE)
        tx.runs.set_state(run_id, RunState.CANCELLED, at=NOW)
    assert piece is not None
    with pytest.raises(LeaseLost), database.write() as tx:
        tx.runs.finish(piece, Counts(done=1), at=NOW)
    with database.read() as tx:
        run = tx.runs.get(run_id)
        assert run is not None
        assert (run.state, run.counts, run.ended_at) == (RunState.CANCELLED, Counts(), NOW)
        assert tx.runs.get(run_id + 1) is None
        assert [each.id for each in tx.runs.recent(limit=5, check="finder")] == [run_id]
        assert tx.runs.recent(limit=5, check="other") == []


def test_a_piece_that_is_given_back_rests_first(database: SqlDatabase) -> None:
    with database.write() as tx:
        run_id = tx.runs.add(NEW, files=[1], piece=1, at=NOW)
        piece = tx.runs.claim(run_id=run_id, piece=1, now=NOW, lease=LEASE)
        assert piece is not None
        tx.runs.release(piece, retry_at=NOW + timedelta(seconds=5))
        assert tx.runs.claim(run_id=run_id, piece=1, now=NOW, lease=LEASE) is None
        assert tx.runs.claim(run_id=run_id, piece=1, now=NOW + timedelta(seconds=5), lease=LEASE) is not None


def test_screenings_in_the_shadow_reach_no_desk_and_are_exported_as_such(database: SqlDatabase) -> None:
    loud = Screened(subject=SUBJECT, outcome=Outcome.FLAGGED, tier=Tier.HOLD, score=0.9, costs=(("finder", 0.25),))
    with database.write() as tx:
        for shadow in (True, False):
            tx.screening.add(
                loud,
                trigger="upload",
                attempt=1,
                started_at=NOW,
                finished_at=NOW,
                shadow=shadow,
                run_id=7 if shadow else None,
            )
            assert sum(tx.screening.count_waiting().values()) == (0 if shadow else 1)
    with database.read() as tx:
        records = tx.screening.after(0, limit=10)
        assert [(each.shadow, each.run_id) for each in records] == [(True, 7), (False, None)]
        assert records[0].screened.costs == (("finder", 0.25),)
        assert tx.screening.after(records[0].id, limit=10) == records[1:]
        assert tx.screening.count_screenings(SUBJECT) == 1
        assert tx.checks.costs(limit=10).shares["finder"].seconds == 0.5


@pytest.mark.parametrize(
    ("tier", "partial", "trigger", "stays"),
    [
        (Tier.NONE, True, "upload", True),
        (Tier.NONE, False, "upload", False),
        (Tier.HOLD, True, "upload", False),
    ],
)
def test_some_of_the_checks_take_nothing_off_the_desk(
    database: SqlDatabase, tier: Tier, trigger: str, *, partial: bool, stays: bool
) -> None:
    def screened(tier: Tier) -> Screened:
        outcome = Outcome.FLAGGED if tier else Outcome.CLEAN
        return Screened(subject=SUBJECT, outcome=outcome, tier=tier, score=int(tier) / 4)

    times = {"attempt": 1, "started_at": NOW, "finished_at": NOW}
    with database.write() as tx:
        first = tx.screening.add(screened(Tier.QUEUE), trigger="upload", **times)  # type: ignore[arg-type] # mixed
        tx.screening.add(screened(tier), trigger=trigger, partial=partial, **times)  # type: ignore[arg-type] # mixed
        waiting = [each.screening_id for each in tx.screening.waiting(limit=5)]
    assert (waiting == [first]) is stays
