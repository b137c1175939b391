"""Projects with their people and releases, as scheduled checks see them: from the catalog and its events.

A release's date is when its first file came, and its uploader who brought that. People are what the events say:
those who are owners now, and came or left by an event, are traced back; an owner without one was there from the
project's beginning.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, func, select

from gatehouse.gate.ports.accounts import OWNER_ADDED, OWNER_REMOVED
from gatehouse.malware.index_view import ProjectHistory, ReleaseDate, RoleChange
from gatehouse.malware.model import Kind, Subject
from gatehouse.storage.sql.models import (
    AccountRow,
    EventRow,
    FileRow,
    ProjectOwnerRow,
    ProjectRow,
    ReleaseRow,
    SourceRow,
)
from gatehouse.storage.sql.statements import pieces


def histories_since(connection: Connection, source: str, since: datetime) -> list[ProjectHistory]:
    """The whole history of each project whose people changed, or that had a release, since then; by name."""
    source_id = connection.execute(select(SourceRow.id).where(SourceRow.name == source)).scalar_one()
    names = set(
        connection.execute(
            select(EventRow.project).where(
                EventRow.source == source,
                EventRow.action.in_((OWNER_ADDED, OWNER_REMOVED)),
                EventRow.at >= since,
            )
        ).scalars()
    )
    names |= set(
        connection.execute(
            select(ProjectRow.name)
            .join(ReleaseRow, ReleaseRow.project_id == ProjectRow.id)
            .where(ProjectRow.source_id == source_id, ReleaseRow.created_at >= since)
        ).scalars()
    )
    found = []
    for piece in pieces(sorted(names)):
        projects = connection.execute(
            select(ProjectRow.id, ProjectRow.name, ProjectRow.created_at)
            .where(ProjectRow.source_id == source_id, ProjectRow.name.in_(piece))
            .order_by(ProjectRow.name)
        ).all()
        owners = _owners(connection, [row.id for row in projects])
        changes = _changes(connection, source, piece)
        releases = _releases(connection, [row.id for row in projects])
        found += [
            ProjectHistory(
                subject=Subject(source=source, kind=Kind.PROJECT, name=row.name),
                roles=_roles(owners[row.id], changes[row.name], row.created_at),
                releases=tuple(releases[row.id]),
            )
            for row in projects
        ]
    return found


def _owners(connection: Connection, ids: list[int]) -> dict[int, set[str]]:
    owners: dict[int, set[str]] = defaultdict(set)
    for row in connection.execute(
        select(ProjectOwnerRow.project_id, AccountRow.name)
        .join(AccountRow, AccountRow.id == ProjectOwnerRow.account_id)
        .where(ProjectOwnerRow.project_id.in_(ids))
    ):
        owners[row.project_id].add(row.name)
    return owners


def _changes(connection: Connection, source: str, names: list[str]) -> dict[str, list[RoleChange]]:
    changes: dict[str, list[RoleChange]] = defaultdict(list)
    for row in connection.execute(
        select(EventRow.project, EventRow.at, EventRow.actor, EventRow.action, EventRow.detail)
        .where(
            EventRow.source == source,
            EventRow.project.in_(names),
            EventRow.action.in_((OWNER_ADDED, OWNER_REMOVED)),
            EventRow.detail.is_not(None),
        )
        .order_by(EventRow.id)
    ):
        changes[row.project].append(
            RoleChange(at=row.at, user=row.detail, added=row.action == OWNER_ADDED, by=row.actor or None)
        )
    return changes


def _roles(owners: Iterable[str], changes: list[RoleChange], created_at: datetime) -> tuple[RoleChange, ...]:
    """The changes, behind those who were there from the beginning."""
    first: dict[str, bool] = {}
    for change in changes:
        first.setdefault(change.user, change.added)
    # Who first left must have been there; who is there now and never came by an event, too.
    began = {user for user, added in first.items() if not added} | {user for user in owners if user not in first}
    return (*(RoleChange(at=created_at, user=user, added=True) for user in sorted(began)), *changes)


def _releases(connection: Connection, ids: list[int]) -> dict[int, list[ReleaseDate]]:
    first = (
        select(FileRow.release_id, func.min(FileRow.id).label("id"))
        .where(FileRow.project_id.in_(ids))
        .group_by(FileRow.release_id)
        .subquery()
    )
    rows: Iterable[Row[*tuple[Any, ...]]] = connection.execute(
        select(FileRow.project_id, FileRow.uploader, FileRow.uploaded_at, ReleaseRow.version)
        .join(first, and_(first.c.id == FileRow.id))
        .join(ReleaseRow, ReleaseRow.id == FileRow.release_id)
        .order_by(FileRow.uploaded_at, FileRow.id)
    )
    releases: dict[int, list[ReleaseDate]] = defaultdict(list)
    for row in rows:
        releases[row.project_id].append(
            ReleaseDate(at=row.uploaded_at, version=row.version, uploader=row.uploader or None)
        )
    return releases
