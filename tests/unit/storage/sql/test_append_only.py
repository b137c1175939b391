"""The database itself refuses to change or forget what is evidence, and words outside their list."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Executable,
    Float,
    Integer,
    LargeBinary,
    Table,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError

from gatehouse.storage.sql.database import SqlDatabase
from gatehouse.storage.sql.models import Base
from gatehouse.storage.sql.types import PlainText, RawSha256, UtcDateTime

NOW = datetime(2026, 11, 21, tzinfo=UTC)

#: In the order in which rows can refer to one another.
KEPT = (
    "subjects",
    "screenings",
    "findings",
    "verdicts",
    "decisions",
    "events",
    "audit_log",
    "check_changes",
    "check_timetable",
    "offline_metadata",
    "publications",
    "journal",
    "refused_changes",
)
SET_ONCE: dict[str, tuple[str, Any, Any]] = {
    "journal": ("publication_id", 1, 2),
    "publications": ("published_at", NOW, NOW + timedelta(days=1)),
}
#: What a column of words takes, where the first value of its type would not do.
WORDS: dict[str, tuple[Any, Any]] = {
    "kind": ("file", "release"),
    "outcome": ("clean", "flagged"),
    "tier": ("none", "hold"),
    "state": ("draft", "shadow"),
}
VALUES: tuple[tuple[type[Any], tuple[Any, Any]], ...] = (
    (UtcDateTime, (NOW, NOW + timedelta(days=1))),
    (RawSha256, ("a" * 64, "b" * 64)),
    (PlainText, ("one", "two")),
    (JSON, ([], [1])),
    (Boolean, (False, True)),
    (LargeBinary, (b"one", b"two")),
    (Float, (0.25, 0.5)),
    (Integer, (1, 2)),
)


def table(name: str) -> Table:
    return Base.metadata.tables[name]


def values(column: Column[Any]) -> tuple[Any, Any]:
    """Two values that a column takes."""
    if column.name in WORDS:
        return WORDS[column.name]
    for kind, pair in VALUES:
        if isinstance(column.type, kind):
            return pair
    raise AssertionError(f"No values for {column}.")


def filled(name: str) -> dict[str, Any]:
    """A row with all that it must have, and a digest and its length where it may."""
    return {
        column.name: values(column)[0]
        for column in table(name).columns
        if column.name != "id" and (not column.nullable or column.name in {"sha256", "length"})
    }


def run(database: SqlDatabase, statement: Executable) -> None:
    with database.engine.begin() as connection:
        connection.execute(statement)


def assert_refused(database: SqlDatabase, *statements: Executable) -> None:
    """Each statement is refused because its table is append-only."""
    with database.engine.connect() as connection, connection.begin():
        for statement in statements:
            with pytest.raises(IntegrityError, match="is append-only"), connection.begin_nested():
                connection.execute(statement)


@pytest.fixture
def evidence(database: SqlDatabase) -> SqlDatabase:
    """A database with one row in each table that keeps its rows, numbered 1."""
    with database.engine.begin() as connection:
        for name in KEPT:
            connection.execute(insert(table(name)).values(filled(name)))
    return database


@pytest.mark.parametrize("name", KEPT)
def test_no_row_goes(evidence: SqlDatabase, name: str) -> None:
    assert_refused(evidence, delete(table(name)))


@pytest.mark.parametrize("name", KEPT)
def test_no_row_goes_by_a_back_door(evidence: SqlDatabase, name: str) -> None:
    if evidence.engine.dialect.name == "postgresql":
        assert_refused(evidence, text(f"TRUNCATE {name} CASCADE"))
    else:
        (key,) = table(name).primary_key
        assert_refused(
            evidence, insert(table(name)).prefix_with("OR REPLACE").values({**filled(name), key.name: 1})
        )


@pytest.mark.parametrize("name", KEPT)
def test_no_column_changes_but_the_one_that_is_set_once(evidence: SqlDatabase, name: str) -> None:
    allowed = SET_ONCE[name][0] if name in SET_ONCE else None
    columns = [column for column in table(name).columns if column.name != allowed]
    assert_refused(evidence, *(update(table(name)).values({column: values(column)[1]}) for column in columns))


@pytest.mark.parametrize("name", SET_ONCE)
def test_the_one_column_is_set_once(evidence: SqlDatabase, name: str) -> None:
    column, first, second = SET_ONCE[name]
    change = update(table(name))
    assert_refused(evidence, change.values({column: None}))
    run(evidence, change.values({column: first}))
    assert_refused(evidence, *(change.values({column: again}) for again in (first, second, None)))


@pytest.mark.parametrize("name", SET_ONCE)
def test_setting_the_one_column_carries_no_other_change(evidence: SqlDatabase, name: str) -> None:
    chosen, value, _ = SET_ONCE[name]
    others = [column for column in table(name).columns if column.name not in {chosen, "id"}]
    assert_refused(
        evidence,
        *(update(table(name)).values({chosen: value, column.name: values(column)[1]}) for column in others),
    )


def test_evidence_outlives_the_catalog(evidence: SqlDatabase) -> None:
    for name in ("files", "releases", "project_owners", "projects", "sources"):
        run(evidence, delete(table(name)))
    with evidence.engine.connect() as connection:
        for name in KEPT:
            assert connection.scalar(select(func.count()).select_from(table(name))) == 1


def test_no_foreign_key_cascades_and_evidence_refers_to_evidence_alone() -> None:
    for owner in Base.metadata.sorted_tables:
        for key in owner.foreign_keys:
            assert key.ondelete is None
            assert key.onupdate is None
            if owner.name in KEPT:
                assert key.column.table.name in KEPT


@pytest.mark.parametrize(
    ("name", "column", "value"),
    [
        ("subjects", "kind", "wheel"),
        ("subjects", "sha256", ""),
        ("subjects", "filename", ""),
        ("screenings", "outcome", "unknown"),
        ("screenings", "outcome", "incomplete"),  # without a reason
        ("screenings", "tier", "panic"),
        ("screenings", "score", 1.5),
        ("verdicts", "tier", "panic"),
        ("journal", "family", 3),
        ("journal", "length", None),
    ],
)
def test_words_and_values_outside_their_list_are_refused(
    evidence: SqlDatabase, name: str, column: str, value: object
) -> None:
    row = filled(name) | {column: value}
    if name == "subjects":
        # Unique by value: this one differs, so that it is refused for its fault alone.
        row["version"] = "another"
    with pytest.raises(IntegrityError, match="ck_"):
        run(evidence, insert(table(name)).values(row))
