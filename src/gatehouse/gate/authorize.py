"""Who may upload: tokens as macaroons.

The key of each macaroon is derived from a secret that lies outside the database (HMAC-SHA256 of the token's
id), so that whoever steals the database can list tokens and make none. Caveats are JSON objects with one
key: `{"expires": <seconds since 1970>}` and `{"projects": [<normalized names>]}`. A holder may add caveats of
the same kinds without asking us; a caveat that we do not know is one that does not hold.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pymacaroons import Macaroon, Verifier
from pymacaroons.exceptions import MacaroonException

from gatehouse.core.clock import Clock
from gatehouse.core.errors import CallerError, NotAllowed, NotAuthenticated, NotFound
from gatehouse.core.names import is_normalized_name, normalize_name
from gatehouse.gate.ports import Account, Database, TokenRecord

#: What a token begins with, so that secret scanners know it.
PREFIX = "gatehouse-"
#: Room for a few hundred project names; more is somebody playing.
MAX_TOKEN_LENGTH = 8192
MAX_ACCOUNT_LENGTH = 100
_USE_IS_NOTED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Authority:
    """Who asks, and what the token lets them touch: `projects` None means all projects that the account owns."""

    account: Account
    token_id: str
    projects: tuple[str, ...] | None

    def covers(self, project: str) -> bool:
        """Whether the token's caveats let it touch this project (normalized name)."""
        return self.projects is None or project in self.projects


@dataclass(frozen=True, kw_only=True, slots=True)
class Tokens:
    """Makes, checks, lists and revokes upload tokens."""

    database: Database
    clock: Clock
    secret: bytes
    location: str

    def create(
        self,
        account_name: str,
        *,
        description: str = "",
        projects: Sequence[str] = (),
        lifetime: timedelta | None = None,
    ) -> str:
        """Make a token.

        Args:
            account_name: whose token; the account is made if there is none.
            description: what it is for, for the list.
            projects: project names (any spelling) that it is limited to; none means no limit.
            lifetime: how long it lives; None means until it is revoked.

        Returns:
            The token. It is shown once; only its id is kept.
        """
        if not account_name.isprintable() or not 1 <= len(account_name) <= MAX_ACCOUNT_LENGTH:
            raise CallerError(f"An account name has 1 to {MAX_ACCOUNT_LENGTH} printable characters.")
        now = self.clock.now()
        names = sorted({normalize_name(project) for project in projects})
        expires_at = None if lifetime is None else now + lifetime
        token_id = secrets.token_hex(16)
        macaroon = Macaroon(location=self.location, identifier=token_id, key=self._key(token_id))
        if names:
            macaroon.add_first_party_caveat(_caveat({"projects": names}))
        if expires_at is not None:
            macaroon.add_first_party_caveat(_caveat({"expires": int(expires_at.timestamp())}))
        token = PREFIX + str(macaroon.serialize())
        if len(token) > MAX_TOKEN_LENGTH:
            raise CallerError("Too many projects for one token.")
        with self.database.write() as transaction:
            transaction.accounts.add_token(
                token_id=token_id,
                account=transaction.accounts.ensure_account(account_name, at=now),
                description=description,
                projects=names,
                expires_at=expires_at,
                at=now,
            )
        return token

    def authenticate(self, token: str) -> Authority:
        """Whom a token speaks for.

        Raises:
            NotAuthenticated: it is not a token of this index, or it has expired or been revoked.
        """
        macaroon = _parse(token)
        token_id = macaroon.identifier
        now = self.clock.now()
        limits = _Limits(now=now)
        verifier = Verifier()
        verifier.satisfy_general(limits.holds)
        try:
            verifier.verify(macaroon, self._key(token_id))
        except (MacaroonException, TypeError, ValueError) as error:
            reason = "has expired" if limits.expired else "was not issued by this index"
            raise NotAuthenticated(f"The token {reason}.") from error
        with self.database.read() as transaction:
            record = transaction.accounts.find_token(token_id)
        if record is None or record.revoked_at is not None:
            raise NotAuthenticated("The token has been revoked.")
        self._note_use(record, now)
        return Authority(account=record.account, token_id=token_id, projects=limits.projects)

    def list(self) -> list[TokenRecord]:
        """All tokens, oldest first."""
        with self.database.read() as transaction:
            return transaction.accounts.list_tokens()

    def revoke(self, token_id: str) -> None:
        """End a token now.

        Raises:
            NotFound: there is no such token.
        """
        with self.database.write() as transaction:
            if not transaction.accounts.revoke_token(token_id, at=self.clock.now()):
                raise NotFound(f"There is no token {token_id[:64]!r}.")

    def _note_use(self, record: TokenRecord, now: datetime) -> None:
        # A write for every request would make each upload wait for one more commit.
        if record.last_used_at is None or now - record.last_used_at > _USE_IS_NOTED_EVERY:
            with self.database.write() as transaction:
                transaction.accounts.touch_token(record.id, at=now)

    def _key(self, token_id: str) -> str:
        return hmac.new(self.secret, f"upload-token:{token_id}".encode(), hashlib.sha256).hexdigest()


class _Limits:
    """Reads caveats while a macaroon is verified, and remembers what they limit it to."""

    def __init__(self, *, now: datetime) -> None:
        self._now = now.timestamp()
        self.expired = False
        self.projects: tuple[str, ...] | None = None

    def holds(self, predicate: str) -> bool:
        try:
            caveat = json.loads(predicate)
        except (ValueError, RecursionError):
            return False
        match caveat:
            case {"expires": int(moment), **rest} if not rest:
                self.expired = self.expired or moment <= self._now
                return moment > self._now
            case {"projects": [*names], **rest} if not rest and all(map(_is_name, names)):
                mine = set(names) if self.projects is None else set(names) & set(self.projects)
                self.projects = tuple(sorted(mine))
                return True
        return False


def _is_name(value: object) -> bool:
    return isinstance(value, str) and is_normalized_name(value)


def _caveat(value: dict[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _parse(token: str) -> Macaroon:
    if not token.startswith(PREFIX) or len(token) > MAX_TOKEN_LENGTH or not token.isascii():
        raise NotAuthenticated(f"An upload token begins with {PREFIX!r}; this one is not of this index.")
    deserialize: Callable[[str], Macaroon] = Macaroon.deserialize
    try:
        macaroon = deserialize(token.removeprefix(PREFIX))
    except Exception as error:
        raise NotAuthenticated("The token is malformed.") from error
    if not isinstance(macaroon.identifier, str) or not macaroon.identifier.isalnum():
        raise NotAuthenticated("The token is malformed.")
    return macaroon


def require_owner(authority: Authority, project: str, *, owns: bool) -> None:
    """Refuse whoever may not change this project.

    Raises:
        NotAllowed: the token is limited to other projects, or the account does not own this one.
    """
    if not authority.covers(project):
        raise NotAllowed(f"The token is limited to other projects than {project!r}.")
    if not owns:
        raise NotAllowed(f"The account {authority.account.name!r} does not own the project {project!r}.")
