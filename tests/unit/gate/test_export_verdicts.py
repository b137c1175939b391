"""Everything that was found and decided is exported, piece by piece, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gatehouse.gate import export_verdicts
from gatehouse.gate.export_verdicts import ExportVerdicts
from gatehouse.gate.ports import Action, Decision
from gatehouse.malware.model import Kind, Subject
from gatehouse.malware.verdict import conclude
from gatehouse.storage.sql.database import SqlDatabase
from tests.support.screening import check_of, finding_of

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def subject(number: int) -> Subject:
    return Subject(
        source="local",
        kind=Kind.FILE,
        name=f"example-{number}",
        version="1.0",
        filename=f"example_{number}-1.0.tar.gz",
        sha256=f"{number:064x}",
    )


def screen(database: SqlDatabase, number: int, at: datetime, *, shadow: bool = False) -> None:
    screened = conclude(subject(number), findings=[finding_of()], ran=[check_of()])
    with database.write() as transaction:
        transaction.screening.add(
            screened, trigger="upload", attempt=1, started_at=at, finished_at=at, shadow=shadow
        )


def decide(database: SqlDatabase, number: int, action: Action, at: datetime) -> None:
    decision = Decision(subject=subject(number), actor="alice", action=action, reason="because", at=at)
    with database.write() as transaction:
        transaction.screening.decide(decision)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_verdicts, "_PIECE", 2)


def numbers(database: SqlDatabase, *, since: datetime | None = None, shadow: bool = False) -> list[int]:
    found = ExportVerdicts(database=database).screenings(since=since, shadow=shadow)
    return [int(result.sha256, 16) for result in found]


def test_every_screening_comes_once_and_in_order(database: SqlDatabase) -> None:
    assert numbers(database) == []
    for number in range(5):
        screen(database, number, NOW + number * HOUR)
    assert numbers(database) == [0, 1, 2, 3, 4]
    (first, *_) = ExportVerdicts(database=database).screenings()
    assert first.more["trigger"] == "upload"
    assert first.more["at"] == NOW.isoformat()
    assert first.more["checks"] == [["made-up", "1"]]
    assert [verdict.check for verdict in first.verdicts] == ["made-up"]


def test_only_what_ended_since_then_is_asked_for(database: SqlDatabase) -> None:
    for number in range(5):
        screen(database, number, NOW + number * HOUR)
    assert numbers(database, since=NOW + 3 * HOUR) == [3, 4]
    assert numbers(database, since=NOW + 9 * HOUR) == []


def test_the_shadow_comes_where_it_is_asked_for(database: SqlDatabase) -> None:
    screen(database, 1, NOW)
    screen(database, 2, NOW, shadow=True)
    assert numbers(database) == [1]
    assert numbers(database, shadow=True) == [1, 2]


def test_what_is_added_during_an_export_spoils_nothing(database: SqlDatabase) -> None:
    for number in range(3):
        screen(database, number, NOW)
    found = []
    for result in ExportVerdicts(database=database).screenings():
        found.append(int(result.sha256, 16))
        if len(found) == 1:
            screen(database, 7, NOW)
    assert found == [0, 1, 2, 7]


def test_what_a_person_removed_is_malicious_with_what_checks_said(database: SqlDatabase) -> None:
    for number in range(5):
        screen(database, number, NOW)
    decide(database, 0, Action.HOLD, NOW + HOUR)
    for number in (1, 2, 3):
        decide(database, number, Action.REMOVE, NOW + number * HOUR)
    decide(database, 2, Action.RESTORE, NOW + 5 * HOUR)
    decide(database, 4, Action.LET_THROUGH, NOW + HOUR)
    records = list(ExportVerdicts(database=database).malicious())
    assert [record.subject for record in records] == [subject(1), subject(2), subject(3)]
    assert [record.withdrawn for record in records] == [None, NOW + 5 * HOUR, None]
    assert {record.reviewed for record in records} == {True}
    assert {len(record.findings) for record in records} == {1}
    assert (records[1].since, records[1].changed) == (NOW + 2 * HOUR, NOW + 5 * HOUR)
    since = ExportVerdicts(database=database).malicious(since=NOW + 3 * HOUR)
    assert [record.subject for record in since] == [subject(2), subject(3)]


def test_what_was_removed_again_stands(database: SqlDatabase) -> None:
    for at, action in enumerate((Action.REMOVE, Action.RESTORE, Action.REMOVE)):
        decide(database, 1, action, NOW + at * HOUR)
    (record,) = ExportVerdicts(database=database).malicious()
    assert (record.withdrawn, record.since, record.changed) == (None, NOW, NOW + 2 * HOUR)
