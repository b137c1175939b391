"""Summaries of files, on both databases: kept by value, and given out for a baseline only where nothing stands."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import update

from gatehouse.core.errors import InternalError
from gatehouse.gate.ports import Action, Cleared, Decision
from gatehouse.malware.difference import Fingerprint, ReleaseSummary
from gatehouse.malware.model import Kind, Outcome, Screened, Subject, Tier
from gatehouse.storage.sql.database import SqlDatabase
from gatehouse.storage.sql.models import FileSummaryRow

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
FILE = Subject(
    source="local", kind=Kind.FILE, name="spam", version="1.0", filename="spam-1.0.tar.gz", sha256="ab" * 32
)
OTHER = replace(FILE, filename="spam-1.0-py3-none-any.whl", sha256="cd" * 32)
SUMMARY = ReleaseSummary(
    version="1.0",
    members={"spam/größe.py": (Fingerprint(digest="ab", size=3, sketch=(1, 2)),)},
    acts=frozenset({("import", "os.system")}),
    deeds=frozenset({("spam/größe.py", "process")}),
    hosts=frozenset({"spam.invalid"}),
)


def screen(
    database: SqlDatabase,
    subject: Subject = FILE,
    *,
    tier: Tier = Tier.NONE,
    outcome: Outcome = Outcome.CLEAN,
    shadow: bool = False,
    summary: ReleaseSummary | None = SUMMARY,
) -> None:
    reason = "it ran out of time" if outcome is Outcome.INCOMPLETE else None
    screened = Screened(subject=subject, outcome=outcome, tier=tier, score=0.0, incomplete_reason=reason)
    with database.write() as transaction:
        transaction.screening.add(
            screened, trigger="upload", attempt=1, started_at=NOW, finished_at=NOW, shadow=shadow
        )
        if summary is not None:
            transaction.summaries.keep(subject, summary, at=NOW)


def decide(database: SqlDatabase, action: Action) -> None:
    with database.write() as transaction:
        transaction.screening.decide(Decision(subject=FILE, actor="eve", action=action, reason="so", at=NOW))


def cleared(database: SqlDatabase) -> list[Cleared]:
    with database.read() as transaction:
        return transaction.summaries.cleared([FILE, OTHER])


def test_a_summary_comes_back_as_it_was_kept(database: SqlDatabase) -> None:
    screen(database)
    with database.read() as transaction:
        assert transaction.summaries.of([FILE, OTHER]) == [SUMMARY]
        assert transaction.summaries.of([replace(FILE, sha256="ef" * 32)]) == []
        assert transaction.summaries.of([]) == []


def test_a_newer_one_takes_the_place_of_the_older(database: SqlDatabase) -> None:
    screen(database)
    newer = replace(SUMMARY, hosts=frozenset({"new.invalid"}))
    screen(database, summary=newer)
    with database.read() as transaction:
        assert transaction.summaries.of([FILE]) == [newer]


def test_what_was_never_screened_has_none(database: SqlDatabase) -> None:
    with pytest.raises(InternalError, match="no screening"), database.write() as transaction:
        transaction.summaries.keep(FILE, SUMMARY, at=NOW)


@pytest.mark.parametrize(
    ("tier", "outcome", "stands"),
    [
        (Tier.NONE, Outcome.CLEAN, True),
        (Tier.RANK, Outcome.FLAGGED, True),
        (Tier.QUEUE, Outcome.FLAGGED, False),
        (Tier.HOLD, Outcome.FLAGGED, False),
        (Tier.NONE, Outcome.INCOMPLETE, False),
    ],
)
def test_a_file_is_cleared_by_a_screening_that_ended_low(
    database: SqlDatabase, tier: Tier, outcome: Outcome, *, stands: bool
) -> None:
    screen(database, tier=tier, outcome=outcome)
    expected = [Cleared(subject=FILE, judged=False)] if stands else []
    assert cleared(database) == expected


def test_the_newest_screening_counts_and_none_of_the_shadow(database: SqlDatabase) -> None:
    screen(database, tier=Tier.QUEUE, outcome=Outcome.FLAGGED)
    screen(database, tier=Tier.NONE, shadow=True)
    assert cleared(database) == []
    screen(database, tier=Tier.NONE)
    assert [each.subject for each in cleared(database)] == [FILE]


@pytest.mark.parametrize(
    ("action", "stands"),
    [(Action.LET_THROUGH, True), (Action.RESTORE, True), (Action.HOLD, False), (Action.REMOVE, False)],
)
def test_a_person_has_the_last_word(database: SqlDatabase, action: Action, *, stands: bool) -> None:
    tier = Tier.HOLD if stands else Tier.NONE
    screen(database, tier=tier, outcome=Outcome.FLAGGED if stands else Outcome.CLEAN)
    decide(database, action)
    assert [each.judged for each in cleared(database)] == ([True] if stands else [])


def test_a_file_without_a_summary_is_no_baseline(database: SqlDatabase) -> None:
    screen(database, summary=None)
    assert cleared(database) == []


def test_a_summary_of_an_unknown_form_is_as_good_as_none(database: SqlDatabase) -> None:
    screen(database)
    with database.engine.begin() as connection:
        connection.execute(update(FileSummaryRow).values(summary=b"x\x9c\xab\xae\x05\x00\x01u\x00\xf9"))
    with database.read() as transaction:
        assert transaction.summaries.of([FILE]) == []
