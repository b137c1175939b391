"""Screenings, decisions and the desk, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from gatehouse.gate.ports import Action, Decision
from gatehouse.malware.model import (
    Classification,
    Confidence,
    Context,
    Finding,
    Kind,
    NotExamined,
    Outcome,
    Screened,
    Subject,
    Tier,
    Verdict,
)
from gatehouse.storage.sql.database import SqlDatabase
from gatehouse.storage.sql.models import SubjectRow

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
FILE = Subject(
    source="local", kind=Kind.FILE, name="spam", version="1.0", filename="spam-1.0.tar.gz", sha256="ab" * 32
)


def clean(subject: Subject = FILE) -> Screened:
    return Screened(subject=subject, outcome=Outcome.CLEAN, tier=Tier.NONE, score=0.0, checks=(("made-up", "1"),))


def incomplete(subject: Subject = FILE) -> Screened:
    return replace(clean(subject), outcome=Outcome.INCOMPLETE, incomplete_reason="ran longer than 30 s", checks=())


def flagged(subject: Subject = FILE, *, tier: Tier = Tier.HOLD, score: float = 0.9) -> Screened:
    finding = Finding(
        check="made-up",
        version="3",
        message="Downloads and executes „Größe“ \u2028.",
        classification=Classification.MALICIOUS,
        confidence=Confidence.HIGH,
        context=Context.INSTALL,
        member="spam-1.0/setup.py",
        line=7,
        chain=("urlopen", "exec"),
        excerpt="exec(payload)\nexit()",
    )
    verdict = Verdict(
        subject=subject,
        check="made-up",
        version="3",
        classification=Classification.MALICIOUS,
        confidence=Confidence.HIGH,
        tier=tier,
        message="Downloads and executes.",
    )
    return Screened(
        subject=subject,
        outcome=Outcome.FLAGGED,
        tier=tier,
        score=score,
        findings=(finding, replace(finding, member=None, line=None, chain=(), excerpt="")),
        verdicts=(verdict,),
        not_examined=(NotExamined(member="spam-1.0/blob.bin", reason="too large"),),
        seconds=0.25,
        checks=(("made-up", "3"), ("other", "1")),
    )


def add(database: SqlDatabase, screened: Screened, *, attempt: int = 1, after: float = 0) -> int:
    with database.write() as tx:
        started = NOW + timedelta(seconds=after)
        return tx.screening.add(
            screened,
            trigger="upload",
            attempt=attempt,
            started_at=started,
            finished_at=started + timedelta(seconds=1),
        )


def decide(database: SqlDatabase, action: Action, subject: Subject = FILE, reason: str = "I looked.") -> Decision:
    decision = Decision(subject=subject, actor="eve", action=action, reason=reason, at=NOW)
    with database.write() as tx:
        tx.screening.decide(decision)
    return decision


def waiting(database: SqlDatabase) -> list[Subject]:
    with database.read() as tx:
        return [each.subject for each in tx.screening.waiting(limit=100)]


def test_a_screening_comes_back_as_it_went_in(database: SqlDatabase) -> None:
    for screened in (flagged(), flagged(FILE.release), flagged(FILE.project), clean(), incomplete()):
        number = add(database, screened, attempt=2)
        with database.read() as tx:
            record = tx.screening.latest(screened.subject)
        assert record is not None
        assert record.screened == screened
        assert (record.id, record.trigger, record.attempt) == (number, "upload", 2)
        assert (record.started_at, record.finished_at) == (NOW, NOW + timedelta(seconds=1))


def test_screenings_are_read_newest_first_and_counted(database: SqlDatabase) -> None:
    numbers = [add(database, incomplete(), attempt=attempt, after=attempt) for attempt in (1, 2, 3)]
    with database.read() as tx:
        found = tx.screening.screenings(FILE, limit=2)
        assert tx.screening.count_screenings(FILE) == 3
        assert tx.screening.count_screenings(FILE.project) == 0
    assert [record.id for record in found] == numbers[:0:-1]


def test_a_subject_is_known_by_its_value_alone_and_once(database: SqlDatabase) -> None:
    add(database, clean())
    add(database, clean())
    other = replace(FILE, sha256="cd" * 32)
    with database.read() as tx:
        number = tx.screening.subject_id(FILE)
        assert number is not None
        assert tx.screening.subject(number) == FILE
        assert tx.screening.subject_id(other) is None
        assert tx.screening.latest(other) is None
        assert tx.screening.subject(number + 1) is None
    with database.engine.connect() as connection:
        assert len(connection.execute(select(SubjectRow.id)).all()) == 1


def test_what_reached_the_queue_or_is_incomplete_waits(database: SqlDatabase) -> None:
    for number, tier in enumerate(Tier):
        add(database, flagged(replace(FILE, name=tier.word), tier=tier), after=number)
    add(database, incomplete())
    add(database, clean(FILE.release))
    assert [subject.name for subject in waiting(database)] == ["hold", "alert", "queue", "spam"]
    with database.read() as tx:
        assert tx.screening.count_waiting() == {Tier.HOLD: 1, Tier.ALERT: 1, Tier.QUEUE: 1, Tier.NONE: 1}
        (*_, unread) = tx.screening.waiting(limit=100)
        (second,) = tx.screening.waiting(limit=1, offset=1)
    assert (unread.outcome, unread.message) == (Outcome.INCOMPLETE, "ran longer than 30 s")
    assert (second.tier, second.message, second.checks) == (Tier.ALERT, "Downloads and executes.", ("made-up",))


def test_of_one_tier_the_highest_score_comes_first_and_then_the_oldest(database: SqlDatabase) -> None:
    scores = {"young": 0.5, "low": 0.1, "high": 0.9}
    add(database, flagged(replace(FILE, name="old"), score=0.5))
    for name, score in scores.items():
        add(database, flagged(replace(FILE, name=name), score=score))
    assert [subject.name for subject in waiting(database)] == ["high", "old", "young", "low"]


def test_a_better_screening_or_a_decision_takes_it_off_the_desk_and_a_new_alarm_puts_it_back(
    database: SqlDatabase,
) -> None:
    add(database, incomplete())
    add(database, clean())
    assert waiting(database) == []
    add(database, flagged())
    assert waiting(database) == [FILE]
    decide(database, Action.LET_THROUGH)
    assert waiting(database) == []
    add(database, flagged())
    assert waiting(database) == [FILE]


def test_decisions_are_read_newest_first_for_their_subject_and_for_all(database: SqlDatabase) -> None:
    first = decide(database, Action.HOLD)
    elsewhere = decide(database, Action.REMOVE, FILE.project, reason="<b>№ 1</b>")
    last = decide(database, Action.LET_THROUGH)
    with database.read() as tx:
        assert tx.screening.decisions(FILE) == [last, first]
        assert tx.screening.latest_decision(FILE) == last
        assert tx.screening.latest_decision(FILE.release) is None
        assert tx.screening.recent_decisions(limit=2) == [last, elsewhere]
