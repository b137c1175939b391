"""Leases with fencing epochs, and the outbox: what only one may do, and what is still to do."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """The right to do what only one may do, for a while. A higher epoch ends it at once."""

    name: str
    holder: str
    epoch: int
    expires_at: datetime


class Leases(Protocol):
    """Leases with fencing epochs. An epoch grows with every change of holder and never repeats."""

    def acquire(
        self, name: str, holder: str, *, ttl: timedelta, now: datetime, steal: bool = False
    ) -> Lease | None:
        """Take the lease if it is free or has ended (or, with `steal`, in any case). None: another holds it."""
        ...

    def renew(self, lease: Lease, *, ttl: timedelta, now: datetime) -> Lease:
        """Hold it longer.

        Raises:
            LeaseLost: another has it.
        """
        ...

    def check(self, lease: Lease) -> None:
        """Prove, inside this transaction, that the lease is still held; nobody can take it before the commit.

        Raises:
            LeaseLost: another has it.
        """
        ...

    def release(self, lease: Lease) -> None:
        """Give it back, if it is still held."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """A piece of work that was decided in a transaction and is done after it, at least once."""

    id: int
    topic: str
    payload: Mapping[str, Any]
    created_at: datetime
    attempts: int


class Outbox(Protocol):
    """Work to do, written in the transaction that decides on it."""

    def add(self, topic: str, payload: Mapping[str, Any], *, at: datetime) -> None:
        """Add a message."""
        ...

    def claim(self, topics: Collection[str], *, limit: int, now: datetime, lease: timedelta) -> list[Message]:
        """Take messages that are due and that nobody works on, those first that have been due the longest.

        They come back when `lease` ends.

        `attempts` counts this claim.
        """
        ...

    def unclaim(self) -> None:
        """Let go of every claim: for a process that knows itself the only one, after its predecessor died."""
        ...

    def done(self, ids: Collection[int]) -> None:
        """These are finished."""
        ...

    def fail(self, message_id: int, error: str, *, retry_at: datetime | None) -> None:
        """It failed: try again at `retry_at`; None: never again, it stays as a dead letter with its error."""
        ...

    def count(self) -> tuple[int, int]:
        """How many wait, and how many are dead letters."""
        ...
