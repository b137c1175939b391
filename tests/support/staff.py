"""Staff for tests: a clock that is set by hand, cheap hashes, and an authenticator."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyotp
from argon2 import PasswordHasher

from gatehouse.gate.ports import Database
from gatehouse.gate.staff import Staff

PASSWORD = "correct horse battery"
SECRET = bytes(range(32))
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class HandClock:
    """Stands still until it is moved."""

    def __init__(self, at: datetime = datetime(2026, 11, 21, 12, 0, 5, tzinfo=UTC)) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def pass_by(self, span: timedelta) -> None:
        self.at += span


@dataclass(frozen=True, kw_only=True)
class Reception:
    """Staff over a real database, at a time of the test's choosing."""

    staff: Staff
    clock: HandClock

    def code(self, secret: str, *, steps: int = 0) -> str:
        """What an authenticator shows, so many steps from now."""
        return code_at(secret, self.clock.at + timedelta(seconds=30 * steps))

    def next_step(self) -> None:
        """Let the next code come."""
        self.clock.pass_by(timedelta(seconds=30))


def reception(database: Database, *, secret: bytes = SECRET, hasher: PasswordHasher = CHEAP) -> Reception:
    clock = HandClock()
    staff = Staff(database=database, clock=clock, secret=secret, issuer="Gatehouse test", hasher=hasher)
    return Reception(staff=staff, clock=clock)


def code_at(secret: str, moment: datetime) -> str:
    """What an authenticator shows at a moment."""
    return pyotp.TOTP(secret).at(moment)
