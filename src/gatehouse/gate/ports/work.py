"""Leases with fencing epochs, and the outbox: what only one may do, and what is still to do."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

#: The lease of whoever publishes. Whoever changes what a publication rests on locks its row.
PUBLISHER_LEASE: Final = "publisher"


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


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetter:
    """A message that failed for good, with the error of its last attempt."""

    message: Message
    dead_at: datetime
    error: str


class Outbox(Protocol):
    """Work to do, written in the transaction that decides on it."""

    def add(self, topic: str, payload: Mapping[str, Any], *, at: datetime, lane: str = "") -> None:
        """Add a message.

        Args:
            topic: what is to be done.
            payload: with what.
            at: since when it is due.
            lane: for whom; what waits in a topic is claimed from its lanes in turn, so that one which brings much
                delays itself alone. Without: in the order of coming, before all lanes.
        """
        ...

    def claim(self, topics: Collection[str], *, limit: int, now: datetime, lease: timedelta) -> list[Message]:
        """Take messages that are due and that nobody works on, lane by lane, those first that came first.

        They come back when `lease` ends.

        `attempts` counts this claim.
        """
        ...

    def claim_one(self, message_id: int, *, now: datetime, lease: timedelta) -> Message | None:
        """Take this message; None if it is done or dead, not due, or another works on it."""
        ...

    def due(self, topics: Collection[str], *, limit: int, now: datetime) -> list[int]:
        """The messages that `claim` would take, without taking them."""
        ...

    def holds(self, message: Message) -> bool:
        """Whether the claim that gave this message is still the last one; nobody takes it before the commit.

        Whoever stores what came of a message asks this first: where a claim ended and another took it up, what
        the first found is not counted.
        """
        ...

    def release(self, message: Message) -> None:
        """Give a claim back before anything came of it: it is due at once, and the attempt does not count."""
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

    def count_waiting(self) -> dict[str, int]:
        """How many wait or are worked on, by topic."""
        ...

    def dead(self, *, limit: int, offset: int = 0) -> list[DeadLetter]:
        """Dead letters, the oldest message first."""
        ...

    def dead_letter(self, message_id: int) -> DeadLetter | None:
        """The dead letter of that number, if there is one."""
        ...

    def revive(self, message_id: int, *, at: datetime) -> bool:
        """Make a dead letter a message again, with all its attempts before it; False if there is none."""
        ...

    def drop(self, message_id: int) -> bool:
        """Delete a dead letter for good; False if there is none."""
        ...
