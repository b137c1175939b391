"""Targets by bin, roles and publications in SQL: implements `gate.ports.SigningStore`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, delete, func, select, update
from sqlalchemy import insert as plain_insert
from sqlalchemy.exc import IntegrityError

from gatehouse.core.errors import InternalError
from gatehouse.gate.ports import Publication
from gatehouse.storage.sql.models import OfflineMetadataRow, OnlineRoleRow, PublicationRow, TargetRow
from gatehouse.storage.sql.statements import insert, pieces
from gatehouse.tuf.model import BinRef, Family, OfflineMetadata, OnlineRole, Target, TargetChange


class SqlSigning:
    """What is signed and what was, in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find_target(self, path: str, bin_ref: BinRef) -> Target | None:
        """A target as committed."""
        row = self._connection.execute(
            select(TargetRow.path, TargetRow.sha256, TargetRow.length).where(
                TargetRow.family == int(bin_ref.family), TargetRow.bin == bin_ref.index, TargetRow.path == path
            )
        ).one_or_none()
        return None if row is None else Target(path=row.path, sha256=row.sha256, length=row.length)

    def apply(self, changes: Sequence[tuple[BinRef, TargetChange]]) -> None:
        """Set and remove targets; the last change of a path wins."""
        last = {(int(ref.family), ref.index, change.path): change.target for ref, change in changes}
        # Sorted: neighbours are written together, and two transactions meet their rows in the same order.
        keys = sorted(last)
        removed = [{"f": f, "b": b, "p": p} for f, b, p in keys if last[f, b, p] is None]
        present = [
            {"family": f, "bin": b, "path": p, "sha256": target.sha256, "length": target.length}
            for f, b, p in keys
            if (target := last[f, b, p]) is not None
        ]
        if removed:
            self._connection.execute(
                delete(TargetRow).where(
                    TargetRow.family == bindparam("f"),
                    TargetRow.bin == bindparam("b"),
                    TargetRow.path == bindparam("p"),
                ),
                removed,
            )
        if present:
            statement = insert(self._connection, TargetRow)
            self._connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["family", "bin", "path"],
                    set_={"sha256": statement.excluded.sha256, "length": statement.excluded.length},
                ),
                present,
            )

    def bins(self, refs: Collection[BinRef]) -> dict[BinRef, list[Target]]:
        """All targets of each of these bins, sorted by path."""
        found: dict[BinRef, list[Target]] = {ref: [] for ref in sorted(refs)}
        for family in Family:
            indexes = [ref.index for ref in found if ref.family == family]
            for piece in pieces(indexes):
                rows = self._connection.execute(
                    select(TargetRow.bin, TargetRow.path, TargetRow.sha256, TargetRow.length)
                    .where(TargetRow.family == int(family), TargetRow.bin.in_(piece))
                    .order_by(TargetRow.family, TargetRow.bin, TargetRow.path)
                )
                # By bin, so that a bin's list is looked up once and not once a target.
                current = BinRef(family=family, index=-1)
                targets: list[Target] = []
                for index, path, sha256, length in rows:
                    if index != current.index:
                        current = BinRef(family=family, index=index)
                        targets = found[current]
                    targets.append(Target(path=path, sha256=sha256, length=length))
        return found

    def count_targets(self) -> int:
        """How many targets there are."""
        return self._connection.scalar(select(func.count()).select_from(TargetRow)) or 0

    def offline_metadata(self) -> list[OfflineMetadata]:
        """All offline metadata, by role and version."""
        rows = self._connection.execute(
            select(OfflineMetadataRow.role, OfflineMetadataRow.version, OfflineMetadataRow.data).order_by(
                OfflineMetadataRow.role, OfflineMetadataRow.version
            )
        )
        return [OfflineMetadata(role=row.role, version=row.version, data=bytes(row.data)) for row in rows]

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

    def online_roles(self) -> dict[str, OnlineRole]:
        """The committed state of every online role, by name."""
        rows = self._connection.execute(
            select(
                OnlineRoleRow.name,
                OnlineRoleRow.version,
                OnlineRoleRow.expires,
                OnlineRoleRow.signatures,
                OnlineRoleRow.sha256,
                OnlineRoleRow.length,
            ).order_by(OnlineRoleRow.name)
        )
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

    def put_online_roles(self, roles: Sequence[OnlineRole], *, publication_id: int) -> None:
        """Replace the state of these roles; the last of a name wins."""
        if not roles:
            return
        last = {role.name: role for role in roles}
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

    def add_publication(
        self,
        *,
        epoch: int,
        snapshot_version: int,
        timestamp_version: int,
        reason: str,
        changes: int,
        roles: Sequence[str],
        at: datetime,
    ) -> int:
        """Record a publication as committed; its id.

        Raises:
            InternalError: the one before is not published, or the timestamp version was used before.
        """
        if (before := self.unpublished()) is not None:
            raise InternalError(f"Publication {before.id} is committed and not published: no other may begin.")
        return self._connection.execute(
            insert(self._connection, PublicationRow)
            .values(
                epoch=epoch,
                snapshot_version=snapshot_version,
                timestamp_version=timestamp_version,
                reason=reason,
                changes=changes,
                committed_at=at,
                roles=list(roles),
            )
            .returning(PublicationRow.id)
        ).scalar_one()

    def unpublished(self) -> Publication | None:
        """The publication that is committed and not published."""
        query = _publications().where(PublicationRow.published_at.is_(None)).order_by(PublicationRow.id).limit(1)
        row = self._connection.execute(query).one_or_none()
        return None if row is None else _publication(row)

    def mark_published(self, publication_id: int, *, at: datetime) -> None:
        """The timestamp has moved. Saying so again keeps the first time."""
        self._connection.execute(
            update(PublicationRow)
            .where(PublicationRow.id == publication_id, PublicationRow.published_at.is_(None))
            .values(published_at=at)
        )

    def last_publication(self) -> Publication | None:
        """The newest publication."""
        query = _publications().order_by(PublicationRow.id.desc()).limit(1)
        row = self._connection.execute(query).one_or_none()
        return None if row is None else _publication(row)


def _publications() -> Select[*tuple[Any, ...]]:
    return select(
        PublicationRow.id,
        PublicationRow.epoch,
        PublicationRow.snapshot_version,
        PublicationRow.timestamp_version,
        PublicationRow.reason,
        PublicationRow.changes,
        PublicationRow.committed_at,
        PublicationRow.published_at,
        PublicationRow.roles,
    )


def _publication(row: Row[*tuple[Any, ...]]) -> Publication:
    fields = row._asdict()
    return Publication(**{**fields, "roles": tuple(fields["roles"])})
