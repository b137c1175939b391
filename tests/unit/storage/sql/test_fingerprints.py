"""Fingerprints of files, on both databases: near-copies find each other, and know what people removed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gatehouse.core.errors import InternalError
from gatehouse.gate.ports import Action, Decision, NearCopies
from gatehouse.malware.model import Kind, Outcome, Screened, Subject, Tier
from gatehouse.storage.sql.database import SqlDatabase

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
FILES = [
    Subject(
        source="local", kind=Kind.FILE, name=name, version="1.0", filename=f"{name}-1.0.tar.gz", sha256="ab" * 32
    )
    for name in ("first", "second", "third")
]
KEYS = ((1, 2, 3), (9, 2, 2**63 - 1), (7, 8))


@pytest.fixture
def kept(database: SqlDatabase) -> SqlDatabase:
    for subject, keys in zip(FILES, KEYS, strict=True):
        screened = Screened(subject=subject, outcome=Outcome.CLEAN, tier=Tier.NONE, score=0.0)
        with database.write() as transaction:
            transaction.screening.add(screened, trigger="upload", attempt=1, started_at=NOW, finished_at=NOW)
            transaction.fingerprints.keep(subject, keys)
            transaction.fingerprints.keep(subject, keys)
    return database


def decide(database: SqlDatabase, subject: Subject, action: Action) -> None:
    with database.write() as transaction:
        transaction.screening.decide(Decision(subject=subject, actor="eve", action=action, reason="so", at=NOW))


def near(database: SqlDatabase, subject: Subject, keys: tuple[int, ...] | None = None) -> NearCopies:
    with database.read() as transaction:
        return transaction.fingerprints.near_copies(subject, keys)


def test_files_that_share_a_key_are_near_copies(kept: SqlDatabase) -> None:
    assert [near(kept, subject) for subject in FILES] == [NearCopies(files=1), NearCopies(files=1), NearCopies()]


def test_near_copies_are_listed_those_seen_last_first(kept: SqlDatabase) -> None:
    with kept.write() as transaction:
        transaction.fingerprints.keep(FILES[2], (1,))
    with kept.read() as transaction:
        store = transaction.fingerprints
        assert store.list_near_copies(FILES[0], limit=9) == [FILES[2], FILES[1]]
        assert store.list_near_copies(FILES[0], limit=1) == [FILES[2]]
        assert store.list_near_copies(FILES[0], limit=9, offset=1) == [FILES[1]]
        assert store.list_near_copies(replace(FILES[0], sha256="cd" * 32), limit=9) == []


def test_a_file_that_was_never_seen_finds_them_by_its_fingerprint(kept: SqlDatabase) -> None:
    assert near(kept, replace(FILES[0], sha256="cd" * 32), (2, 7)) == NearCopies(files=3)
    assert near(kept, replace(FILES[0], sha256="cd" * 32)) == NearCopies()


def test_what_people_removed_is_counted_by_their_last_word(kept: SqlDatabase) -> None:
    decide(kept, FILES[1], Action.REMOVE)
    assert near(kept, FILES[0]) == NearCopies(files=1, removed=1)
    decide(kept, FILES[1], Action.RESTORE)
    assert near(kept, FILES[0]) == NearCopies(files=1)


def test_a_file_without_a_screening_has_none(database: SqlDatabase) -> None:
    with database.write() as transaction, pytest.raises(InternalError, match="no screening"):
        transaction.fingerprints.keep(FILES[0], (1,))
