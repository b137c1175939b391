"""Accounts, tokens and owners in SQL: implements `gate.ports.AccountStore`. No secret ever comes here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, literal, or_, select, update

from gatehouse.core.errors import InternalError
from gatehouse.gate.ports import Account, Background, TokenRecord
from gatehouse.storage.sql.models import AccountRow, ProjectOwnerRow, ProjectRow, UploadTokenRow
from gatehouse.storage.sql.statements import insert
from gatehouse.storage.sql.types import UtcDateTime


class SqlAccounts:
    """Who may upload, in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def ensure_account(self, name: str, *, at: datetime) -> Account:
        """The account of that name, made if there is none."""
        known = self.find_account(name)
        if known is None:
            self._connection.execute(
                insert(self._connection, AccountRow)
                .values(name=name, created_at=at)
                .on_conflict_do_nothing(index_elements=["name"])
            )
            known = self.find_account(name)
        if known is None:
            raise InternalError(f"Account {name!r} was not kept.")
        return known

    def find_account(self, name: str) -> Account | None:
        """The account of that name, if there is one."""
        row = self._connection.execute(
            select(AccountRow.id, AccountRow.name).where(AccountRow.name == name)
        ).one_or_none()
        return None if row is None else Account(id=row.id, name=row.name)

    def add_token(
        self,
        *,
        token_id: str,
        account: Account,
        description: str,
        projects: Sequence[str],
        expires_at: datetime | None,
        at: datetime,
    ) -> TokenRecord:
        """Record a new token."""
        self._connection.execute(
            insert(self._connection, UploadTokenRow).values(
                id=token_id,
                account_id=account.id,
                description=description,
                projects=list(projects),
                created_at=at,
                expires_at=expires_at,
            )
        )
        record = self.find_token(token_id)
        if record is None:
            raise InternalError(f"Token {token_id!r} was not kept.")
        return record

    def find_token(self, token_id: str) -> TokenRecord | None:
        """A token by its id, revoked ones too."""
        row = self._connection.execute(_tokens().where(UploadTokenRow.id == token_id)).one_or_none()
        return None if row is None else _token(row)

    def list_tokens(self) -> list[TokenRecord]:
        """All tokens, oldest first."""
        query = _tokens().order_by(UploadTokenRow.created_at, UploadTokenRow.id)
        return [_token(row) for row in self._connection.execute(query)]

    def revoke_token(self, token_id: str, *, at: datetime) -> bool:
        """Revoke a token; False if there is none. The first time stands."""
        revoked = self._connection.execute(
            update(UploadTokenRow)
            .where(UploadTokenRow.id == token_id)
            .values(revoked_at=func.coalesce(UploadTokenRow.revoked_at, literal(at, UtcDateTime())))
        )
        return revoked.rowcount == 1

    def touch_token(self, token_id: str, *, at: datetime) -> None:
        """Note that a token was used; the latest use stands."""
        unused_since = or_(UploadTokenRow.last_used_at.is_(None), UploadTokenRow.last_used_at < at)
        self._connection.execute(
            update(UploadTokenRow).where(UploadTokenRow.id == token_id, unused_since).values(last_used_at=at)
        )

    def owns(self, account_id: int, project_id: int) -> bool:
        """Whether the account is an owner of the project."""
        query = select(ProjectOwnerRow.account_id).where(
            ProjectOwnerRow.account_id == account_id, ProjectOwnerRow.project_id == project_id
        )
        return self._connection.scalar(query) is not None

    def add_owner(self, account_id: int, project_id: int) -> None:
        """Make the account an owner of the project; again is no change."""
        self._connection.execute(
            insert(self._connection, ProjectOwnerRow)
            .values(account_id=account_id, project_id=project_id)
            .on_conflict_do_nothing(index_elements=["project_id", "account_id"])
        )

    def background(self, name: str, *, limit: int) -> Background | None:
        """What is known of the account of that name, of its projects at most so many; None if there is none."""
        row = self._connection.execute(
            select(AccountRow.id, AccountRow.created_at).where(AccountRow.name == name)
        ).one_or_none()
        if row is None:
            return None
        names = self._connection.execute(
            select(ProjectRow.name)
            .join(ProjectOwnerRow, ProjectOwnerRow.project_id == ProjectRow.id)
            .where(ProjectOwnerRow.account_id == row.id)
            .order_by(ProjectRow.name)
            .limit(limit)
        ).scalars()
        return Background(since=row.created_at, projects=tuple(names))

    def owners_of(self, project_id: int) -> list[Account]:
        """Who owns a project, by name."""
        rows = self._connection.execute(
            select(AccountRow.id, AccountRow.name)
            .join(ProjectOwnerRow, ProjectOwnerRow.account_id == AccountRow.id)
            .where(ProjectOwnerRow.project_id == project_id)
            .order_by(AccountRow.name)
        )
        return [Account(id=row.id, name=row.name) for row in rows]

    def remove_owner(self, account_id: int, project_id: int) -> None:
        """The account is no owner of the project any more."""
        self._connection.execute(
            delete(ProjectOwnerRow).where(
                ProjectOwnerRow.account_id == account_id, ProjectOwnerRow.project_id == project_id
            )
        )


def _tokens() -> Select[*tuple[Any, ...]]:
    return select(
        UploadTokenRow.id,
        UploadTokenRow.account_id,
        AccountRow.name.label("account"),
        UploadTokenRow.description,
        UploadTokenRow.created_at,
        UploadTokenRow.expires_at,
        UploadTokenRow.projects,
        UploadTokenRow.revoked_at,
        UploadTokenRow.last_used_at,
    ).join(AccountRow, AccountRow.id == UploadTokenRow.account_id)


def _token(row: Row[*tuple[Any, ...]]) -> TokenRecord:
    return TokenRecord(
        id=row.id,
        account=Account(id=row.account_id, name=row.account),
        description=row.description,
        created_at=row.created_at,
        expires_at=row.expires_at,
        projects=tuple(row.projects),
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )
