"""What screenings found and what people decided: append-only, by value, for files, releases and projects."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from gatehouse.malware.model import Outcome, Screened, Subject, Tier


class Action(StrEnum):
    """What a person may decide on a subject."""

    HOLD = "hold"  # take it off the pages and out of TUF until further notice
    LET_THROUGH = "let-through"  # judged harmless: publish it, or leave it published
    REMOVE = "remove"  # judged harmful: take it out
    RESTORE = "restore"  # take a removal back


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """A person's act on a subject, with its reason."""

    subject: Subject
    actor: str
    action: Action
    reason: str
    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ScreeningRecord:
    """A screening as stored."""

    id: int
    subject_id: int
    screened: Screened
    trigger: str
    attempt: int
    started_at: datetime
    finished_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A subject that waits on the desk.

    Its latest screening reached the queue, or is incomplete, and nobody has decided on it since.
    """

    subject_id: int
    subject: Subject
    screening_id: int
    outcome: Outcome
    tier: Tier
    score: float
    finished_at: datetime
    message: str  # of its weightiest verdict, or the reason why it is incomplete
    checks: tuple[str, ...]


class ScreeningStore(Protocol):
    """Screenings with their findings and verdicts, and decisions."""

    def add(
        self, screened: Screened, *, trigger: str, attempt: int, started_at: datetime, finished_at: datetime
    ) -> int:
        """Append a screening with all its findings and verdicts; its id. The subject is recorded if it is new."""
        ...

    def subject(self, subject_id: int) -> Subject | None:
        """A subject by its id."""
        ...

    def subject_id(self, subject: Subject) -> int | None:
        """The id of a subject, if it is known."""
        ...

    def latest(self, subject: Subject) -> ScreeningRecord | None:
        """The newest screening of a subject."""
        ...

    def screenings(self, subject: Subject, *, limit: int) -> list[ScreeningRecord]:
        """The newest screenings of a subject, newest first."""
        ...

    def count_screenings(self, subject: Subject) -> int:
        """How often a subject was screened."""
        ...

    def waiting(self, *, limit: int, offset: int = 0) -> list[Waiting]:
        """What waits on the desk: the highest tier first, then the highest score, then the oldest."""
        ...

    def count_waiting(self) -> dict[Tier, int]:
        """How many wait, by tier; incomplete ones count under the tier that they reached."""
        ...

    def decide(self, decision: Decision) -> None:
        """Append a decision. The subject is recorded if it is new."""
        ...

    def decisions(self, subject: Subject) -> list[Decision]:
        """All decisions on a subject, newest first."""
        ...

    def latest_decision(self, subject: Subject) -> Decision | None:
        """The newest decision on a subject."""
        ...

    def recent_decisions(self, *, limit: int) -> list[Decision]:
        """The newest decisions on anything."""
        ...
