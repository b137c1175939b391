"""The database itself refuses to change or forget what is evidence."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from gatehouse.storage.sql.database import SqlDatabase

ROWS: dict[str, dict[str, Any]] = {
    "subjects": {"source": "local", "kind": "file", "name": "n", "version": "1", "filename": "f", "sha256": "ab"},
    "screenings": {
        "subject_id": 1,
        "engine_version": "1",
        "trigger": "upload",
        "attempt": 1,
        "started_at": 0,
        "finished_at": 0,
        "outcome": "clean",
        "tier": "none",
        "score": 0.0,
        "not_examined": "[]",
    },
    "findings": {"screening_id": 1, '"check"': "c", "version": 1, "message": "m", "chain": "[]"},
    "verdicts": {
        "subject_id": 1,
        "screening_id": 1,
        '"check"': "c",
        "check_version": 1,
        "engine_version": "1",
        "classification": "benign",
        "confidence": "high",
        "tier": "none",
        "message": "m",
        "created_at": 0,
    },
    "decisions": {"subject_id": 1, "actor": "a", "action": "hold", "reason": "r", "at": 0},
    "events": {"at": 0, "source": "local", "actor": "a", "action": "upload", "project": "p"},
    "offline_metadata": {"role": "root", "version": 1, "data": b"{}", "added_at": 0},
    "publications": {
        "epoch": 1,
        "snapshot_version": 1,
        "timestamp_version": 1,
        "reason": "r",
        "changes": 0,
        "committed_at": 0,
        "roles": "[]",
    },
    "journal": {
        "at": 0,
        "path": "p",
        "family": 1,
        "bin": 0,
        "sha256": bytes(range(32)),
        "length": 1,
        "cause": "upload",
    },
}
MOMENTS = {"started_at", "finished_at", "created_at", "at", "added_at", "committed_at"}
NUMBERS = {
    "attempt",
    "bin",
    "changes",
    "check_version",
    "epoch",
    "length",
    "screening_id",
    "snapshot_version",
    "subject_id",
    "timestamp_version",
    "version",
}
SET_ONCE = {"journal": ("publication_id", "1"), "publications": ("published_at", "committed_at")}


def run(database: SqlDatabase, statement: str, values: dict[str, Any] | None = None) -> None:
    with database.engine.begin() as connection:
        connection.execute(text(statement), values or {})


def fill(database: SqlDatabase) -> None:
    """One row in each table, all with id 1, put there by plain SQL."""
    is_postgres = database.engine.dialect.name == "postgresql"
    for table, row in ROWS.items():
        values = {f"v{number}": value for number, value in enumerate(row.values())}
        places = [
            f"to_timestamp(:v{number})" if is_postgres and name in MOMENTS else f":v{number}"
            for number, name in enumerate(row)
        ]
        run(database, f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(places)})", values)  # noqa: S608 our own names


@pytest.mark.parametrize("table", ROWS)
def test_no_row_goes(database: SqlDatabase, table: str) -> None:
    fill(database)
    with pytest.raises(IntegrityError, match=f"{table} is append-only"):
        run(database, f"DELETE FROM {table}")  # noqa: S608 our own names
    if database.engine.dialect.name == "postgresql":
        with pytest.raises(IntegrityError, match="is append-only"):
            run(database, f"TRUNCATE {table} CASCADE")
    else:
        with pytest.raises(IntegrityError, match="is append-only"):
            run(database, f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}")  # noqa: S608 our own names


@pytest.mark.parametrize("table", ROWS)
def test_no_column_changes_but_the_one_that_is_set_once(database: SqlDatabase, table: str) -> None:
    fill(database)
    allowed = SET_ONCE.get(table, ("", ""))[0]
    for column in ["id", *ROWS[table]]:
        change = f"{column} = 2" if column == "id" else _change(column, database.engine.dialect.name)
        with pytest.raises(IntegrityError, match=f"{table} is append-only"):
            run(database, f"UPDATE {table} SET {change}")  # noqa: S608 our own names
        assert column != allowed


@pytest.mark.parametrize("table", SET_ONCE)
def test_the_one_column_is_set_once(database: SqlDatabase, table: str) -> None:
    fill(database)
    column, value = SET_ONCE[table]
    with pytest.raises(IntegrityError, match="append-only"):
        run(database, f"UPDATE {table} SET {column} = NULL")  # noqa: S608 our own names
    run(database, f"UPDATE {table} SET {column} = {value}")  # noqa: S608 our own names
    for again in (value, "NULL"):
        with pytest.raises(IntegrityError, match="append-only"):
            run(database, f"UPDATE {table} SET {column} = {again}")  # noqa: S608 our own names


def test_setting_the_one_column_carries_no_other_change(database: SqlDatabase) -> None:
    fill(database)
    with pytest.raises(IntegrityError, match="append-only"):
        run(database, "UPDATE journal SET publication_id = 1, sha256 = NULL, length = NULL")


def test_evidence_outlives_the_catalog(database: SqlDatabase) -> None:
    fill(database)
    run(database, "DELETE FROM files")
    run(database, "DELETE FROM projects")
    run(database, "DELETE FROM sources")
    with database.engine.connect() as connection:
        for table in ("subjects", "screenings", "findings", "verdicts", "decisions", "events"):
            assert connection.scalar(text(f"SELECT count(*) FROM {table}")) == 1  # noqa: S608 our own names


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("subjects", "kind", "'wheel'"),
        ("subjects", "sha256", "''"),
        ("screenings", "outcome", "'unknown'"),
        ("screenings", "outcome", "'incomplete'"),  # without a reason
        ("screenings", "tier", "'panic'"),
        ("screenings", "score", "1.5"),
        ("verdicts", "tier", "'panic'"),
        ("journal", "family", "3"),
        ("journal", "length", "NULL"),
    ],
)
def test_words_and_values_outside_their_list_are_refused(
    database: SqlDatabase, table: str, column: str, value: str
) -> None:
    fill(database)
    names = [name for name in ROWS[table] if name not in {column, "version"}]
    places = list(names)
    if "version" in ROWS[table]:
        # Subjects are unique by value: this one differs, so that only its fault is refused.
        names.append("version")
        places.append("'another'")
    copied = f"INSERT INTO {table} ({', '.join(names)}, {column}) "
    with pytest.raises(IntegrityError, match="ck_"):
        run(database, copied + f"SELECT {', '.join(places)}, {value} FROM {table}")  # noqa: S608 our own names


def _change(column: str, dialect: str) -> str:
    on_postgres = dialect == "postgresql"
    changes = {
        "score": "0.5",
        "outcome": "'flagged'",
        "tier": "'hold'",
        "family": "2",
        "kind": "'release'",
        "data": "'x'::bytea" if on_postgres else "'x'",
        "sha256": "reverse(sha256)" if on_postgres else "'b'",
    }
    changes |= dict.fromkeys(MOMENTS, "to_timestamp(99)" if on_postgres else "99")
    changes |= dict.fromkeys(("not_examined", "chain", "roles"), "'[1]'")
    changes |= dict.fromkeys(NUMBERS, "99")
    return f"{column} = " + changes.get(column, "'changed'")
