"""The publications in SQL: that part of `gate.ports.SigningStore`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select, update

from gatehouse.core.errors import InternalError
from gatehouse.gate.ports import Publication
from gatehouse.storage.sql.models import PublicationRow
from gatehouse.storage.sql.statements import insert


class SqlPublications:
    """The publications, in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

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
        """Record a publication as committed; its id. Both versions are 0 for a chunk.

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
                timestamp_version=timestamp_version or self._chunk_number(),
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
        """The newest publication that is no chunk."""
        # By the version and not by the id: versions only rise, and an index has them.
        query = (
            _publications()
            .where(PublicationRow.timestamp_version > 0)
            .order_by(PublicationRow.timestamp_version.desc())
            .limit(1)
        )
        row = self._connection.execute(query).one_or_none()
        return None if row is None else _publication(row)

    def _chunk_number(self) -> int:
        """The number of the next chunk, in the place of the timestamp that it does not move."""
        lowest = self._connection.scalar(select(func.min(PublicationRow.timestamp_version)))
        return min(lowest or 0, 0) - 1


def get_publication(connection: Connection, publication_id: int) -> Publication | None:
    """A publication by its id."""
    row = connection.execute(_publications().where(PublicationRow.id == publication_id)).one_or_none()
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
    fields["timestamp_version"] = max(fields["timestamp_version"], 0)
    return Publication(**{**fields, "roles": tuple(fields["roles"])})
