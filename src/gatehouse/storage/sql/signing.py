"""Targets, roles and publications in SQL: implements `gate.ports.SigningStore`."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Connection, case, func, select
from sqlalchemy import insert as plain_insert
from sqlalchemy.exc import IntegrityError

from gatehouse.core.errors import InternalError
from gatehouse.gate.ports import RoleSummary
from gatehouse.storage.sql.models import OfflineMetadataRow, OnlineRoleRow
from gatehouse.storage.sql.publications import SqlPublications
from gatehouse.storage.sql.statements import insert
from gatehouse.storage.sql.targets import SqlTargets
from gatehouse.tuf.model import OfflineMetadata, OnlineRole
from gatehouse.tuf.roles import BIN_PREFIX

_PUT_ROLES = (
    "INSERT INTO online_roles (publication_id, name, version, expires, signatures, sha256, length) "
    "SELECT %s::bigint, name, version, expires, signatures::json, sha256, length FROM "
    "unnest(%s::text[], %s::bigint[], %s::timestamptz[], %s::text[], %s::bytea[], %s::bigint[]) "
    "AS roles (name, version, expires, signatures, sha256, length) ON CONFLICT (name) DO UPDATE SET "
    "publication_id = excluded.publication_id, version = excluded.version, expires = excluded.expires, "
    "signatures = excluded.signatures, sha256 = excluded.sha256, length = excluded.length"
)


class SqlSigning(SqlTargets, SqlPublications):
    """What is signed and what was, in one transaction."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)

    def offline_metadata(self) -> list[OfflineMetadata]:
        """All offline metadata, by role and version."""
        rows = self._connection.execute(
            select(OfflineMetadataRow.role, OfflineMetadataRow.version, OfflineMetadataRow.data).order_by(
                OfflineMetadataRow.role, OfflineMetadataRow.version
            )
        )
        return [OfflineMetadata(role=row.role, version=row.version, data=bytes(row.data)) for row in rows]

    def offline_marker(self) -> tuple[int, int]:
        """What changes whenever offline metadata is added."""
        row = self._connection.execute(
            select(func.count(), func.coalesce(func.max(OfflineMetadataRow.id), 0)).select_from(OfflineMetadataRow)
        ).one()
        return row[0], row[1]

    def offline_added(self) -> dict[tuple[str, int], datetime]:
        """When each version of offline metadata was added, by role and version."""
        rows = self._connection.execute(
            select(OfflineMetadataRow.role, OfflineMetadataRow.version, OfflineMetadataRow.added_at)
        )
        return {(row.role, row.version): row.added_at for row in rows}

    def add_offline_metadata(self, items: Sequence[OfflineMetadata], *, at: datetime) -> None:
        """Add versions.

        Raises:
            InternalError: one exists already.
        """
        if not items:
            return
        try:
            self._connection.execute(
                plain_insert(OfflineMetadataRow),
                [
                    {"role": item.role, "version": item.version, "data": item.data, "added_at": at}
                    for item in items
                ],
            )
        except IntegrityError as error:
            names = ", ".join(sorted(item.filename for item in items))
            raise InternalError(f"Offline metadata exists already, among {names[:300]}.") from error

    def online_roles(self, *, only: Collection[str] | None = None) -> dict[str, OnlineRole]:
        """The committed state of every online role, or of some few, by name."""
        query = select(
            OnlineRoleRow.name,
            OnlineRoleRow.version,
            OnlineRoleRow.expires,
            OnlineRoleRow.signatures,
            OnlineRoleRow.sha256,
            OnlineRoleRow.length,
        ).order_by(OnlineRoleRow.name)
        if only is not None:
            query = query.where(OnlineRoleRow.name.in_(only))
        rows = self._connection.execute(query)
        return {
            row.name: OnlineRole(
                name=row.name,
                version=row.version,
                expires=row.expires,
                signatures=tuple((keyid, signature) for keyid, signature in row.signatures),
                sha256=row.sha256,
                length=row.length,
            )
            for row in rows
        }

    def role_summary(self) -> list[RoleSummary]:
        """The online roles by kind, the bins of a family as one."""
        kind = case(
            *((OnlineRoleRow.name.startswith(f"{prefix}-"), prefix) for prefix in BIN_PREFIX.values()),
            else_=OnlineRoleRow.name,
        )
        rows = self._connection.execute(
            select(
                func.min(OnlineRoleRow.name).label("first"),
                func.max(OnlineRoleRow.version).label("version"),
                func.min(OnlineRoleRow.expires).label("expires"),
                func.count().label("roles"),
            ).group_by(kind, func.length(OnlineRoleRow.name))
        )
        found = [
            RoleSummary(first=row.first, version=row.version, expires=row.expires, count=row.roles) for row in rows
        ]
        return sorted(found, key=lambda summary: summary.first)

    def put_online_roles(self, roles: Sequence[OnlineRole], *, publication_id: int) -> None:
        """Replace the state of these roles; the last of a name wins."""
        if not roles:
            return
        last = {role.name: role for role in roles}
        if self._connection.dialect.name == "postgresql":
            self._put_arrays([last[name] for name in sorted(last)], publication_id)
            return
        statement = insert(self._connection, OnlineRoleRow)
        columns = ("version", "expires", "signatures", "sha256", "length", "publication_id")
        self._connection.execute(
            statement.on_conflict_do_update(
                index_elements=["name"], set_={column: statement.excluded[column] for column in columns}
            ),
            [
                {
                    "name": name,
                    "version": last[name].version,
                    "expires": last[name].expires,
                    "signatures": [list(pair) for pair in last[name].signatures],
                    "sha256": last[name].sha256,
                    "length": last[name].length,
                    "publication_id": publication_id,
                }
                for name in sorted(last)
            ],
        )

    def _put_arrays(self, roles: Sequence[OnlineRole], publication_id: int) -> None:
        # All in one statement: a statement a role costs both sides more than the roles do.
        columns = (
            [role.name for role in roles],
            [role.version for role in roles],
            [role.expires for role in roles],
            [json.dumps(role.signatures) for role in roles],
            [bytes.fromhex(role.sha256) for role in roles],
            [role.length for role in roles],
        )
        self._connection.exec_driver_sql(_PUT_ROLES, (publication_id, *columns))
