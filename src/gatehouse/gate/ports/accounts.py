"""Accounts that upload, their tokens, and which projects they own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

#: The events that tell who came to a project and who left it; their detail names the account.
OWNER_ADDED, OWNER_REMOVED = "owner:add", "owner:remove"


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """Somebody who uploads."""

    id: int
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenRecord:
    """What the database knows of a token: never enough to make one."""

    id: str
    account: Account
    description: str
    created_at: datetime
    expires_at: datetime | None
    projects: tuple[str, ...]
    revoked_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Background:
    """Since when an account is here, and projects that it owns, normalized and in order."""

    since: datetime
    projects: tuple[str, ...]


class AccountStore(Protocol):
    """Accounts, their tokens, and which projects they own."""

    def ensure_account(self, name: str, *, at: datetime) -> Account:
        """The account of that name, made if there is none."""
        ...

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
        ...

    def find_token(self, token_id: str) -> TokenRecord | None:
        """A token by its id, revoked ones too."""
        ...

    def list_tokens(self) -> list[TokenRecord]:
        """All tokens, oldest first."""
        ...

    def revoke_token(self, token_id: str, *, at: datetime) -> bool:
        """Revoke a token; False if there is no such token. Revoking twice keeps the first time."""
        ...

    def touch_token(self, token_id: str, *, at: datetime) -> None:
        """Note that a token was used."""
        ...

    def owns(self, account_id: int, project_id: int) -> bool:
        """Whether the account is an owner of the project."""
        ...

    def find_account(self, name: str) -> Account | None:
        """The account of that name, if there is one."""
        ...

    def background(self, name: str, *, limit: int) -> Background | None:
        """What is known of the account of that name, of its projects at most so many; None if there is none."""
        ...

    def owners_of(self, project_id: int) -> list[Account]:
        """Who owns a project, by name."""
        ...

    def add_owner(self, account_id: int, project_id: int) -> None:
        """Make the account an owner of the project; again is no change."""
        ...

    def remove_owner(self, account_id: int, project_id: int) -> None:
        """The account is no owner of the project any more."""
        ...
