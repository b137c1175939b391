"""Triggers that make a table append-only, or let one column be set once, in the SQL of each database.

The rule then holds against our own mistakes and against a stranger with an SQL prompt alike; only who may drop a
trigger can break it. A violation is an integrity error on both databases. The migrations call these functions, so
what they return for a table must not change once released: a new rule is a new function.
"""

from __future__ import annotations

from collections.abc import Iterable

POSTGRESQL_FUNCTION = """
CREATE FUNCTION gatehouse_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$
"""


def refuse_all(dialect: str, table: str) -> list[str]:
    """The statements after which a table takes new rows only.

    Args:
        dialect: `sqlite` or `postgresql`; there, `POSTGRESQL_FUNCTION` must have been run.
        table: a table of ours.
    """
    return [_refuse(dialect, table, "UPDATE", ""), *_refuse_removal(dialect, table)]


def refuse_all_but_set_once(dialect: str, table: str, column: str, others: Iterable[str]) -> list[str]:
    """The statements after which a table takes new rows, and a value for one column where it is NULL.

    Args:
        dialect: `sqlite` or `postgresql`.
        table: a table of ours.
        column: the column that may be set once.
        others: all its other columns.
    """
    wrong = [f"OLD.{column} IS NOT NULL", f"NEW.{column} IS NULL"]
    if dialect == "postgresql":
        # By text, because PostgreSQL's json has no equality.
        wrong += [f"NEW.{other}::text IS DISTINCT FROM OLD.{other}::text" for other in others]
    else:
        wrong += [f"NEW.{other} IS NOT OLD.{other}" for other in others]
    return [_refuse(dialect, table, "UPDATE", f"WHEN ({' OR '.join(wrong)})"), *_refuse_removal(dialect, table)]


def _refuse_removal(dialect: str, table: str) -> list[str]:
    statements = [_refuse(dialect, table, "DELETE", "")]
    if dialect == "postgresql":
        statements.append(
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION gatehouse_append_only()"
        )
    return statements


def _refuse(dialect: str, table: str, act: str, when: str) -> str:
    head = f"CREATE TRIGGER {table}_no_{act.lower()} BEFORE {act} ON {table} FOR EACH ROW {when} "
    if dialect == "postgresql":
        return f"{head} EXECUTE FUNCTION gatehouse_append_only()"
    return f"{head} BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
