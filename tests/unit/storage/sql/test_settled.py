"""What people let through, on both databases: what they had before their eyes, and nothing that came after."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from gatehouse.gate.ports import Action, Decision
from gatehouse.malware.model import (
    Classification,
    Confidence,
    Context,
    Finding,
    Kind,
    Outcome,
    Screened,
    Subject,
    Tier,
)
from gatehouse.malware.settled import settled_key
from gatehouse.storage.sql.database import SqlDatabase

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
FILE = Subject(
    source="local", kind=Kind.FILE, name="first", version="1.0", filename="first-1.0.tar.gz", sha256="ab" * 32
)


def finding(message: str, content: str | None = "cd" * 32) -> Finding:
    return Finding(
        check="one",
        version="3",
        message=message,
        classification=Classification.SUSPICIOUS,
        confidence=Confidence.HIGH,
        context=Context.IMPORT,
        member="first-1.0/first.py",
        chain=("a", "b"),
        excerpt="x\n",
        content=content,
    )


def screened(database: SqlDatabase, at: datetime, *found: Finding, shadow: bool = False) -> None:
    result = Screened(subject=FILE, outcome=Outcome.CLEAN, tier=Tier.NONE, score=0.0, findings=found)
    with database.write() as transaction:
        transaction.screening.add(
            result, trigger="upload", attempt=1, started_at=at, finished_at=at, shadow=shadow
        )
    with database.read() as transaction:
        newest = transaction.screening.latest(FILE)
        assert newest is not None
        assert shadow or newest.screened.findings == found


def decide(database: SqlDatabase, action: Action, at: datetime) -> None:
    with database.write() as transaction:
        transaction.screening.decide(Decision(subject=FILE, actor="eve", action=action, reason="so", at=at))


def known(database: SqlDatabase, release: Subject = FILE.release) -> frozenset[str]:
    with database.read() as transaction:
        return transaction.settled.of(release)


def test_what_was_seen_when_a_file_was_let_through_is_known(database: SqlDatabase) -> None:
    minute = timedelta(minutes=1)
    screened(database, NOW, finding("old"))
    screened(database, NOW + minute, finding("seen"), finding("nowhere", content=None))
    screened(database, NOW + minute, finding("watched"), shadow=True)
    assert known(database) == frozenset()
    decide(database, Action.LET_THROUGH, NOW + 2 * minute)
    screened(database, NOW + 3 * minute, finding("found later"))
    assert known(database) == {settled_key(finding("seen"))}
    for other in (
        replace(FILE, name="second"),
        replace(FILE, source="other"),
        replace(FILE, version="1.1"),
    ):
        assert known(database, other.release) == frozenset()
    decide(database, Action.HOLD, NOW + 4 * minute)
    assert known(database) == frozenset()
