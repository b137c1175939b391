"""What screenings found and what people decided: append-only, by value, for files, releases and projects."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from gatehouse.malware.model import Finding, Outcome, Screened, Subject, Tier

#: The trigger of what a scheduled check found; it is about the index and not about what was uploaded.
TIMETABLE = "timetable"


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
    """A screening as stored. One in the `shadow` reached nobody; `run_id` names the run that it is part of."""

    id: int
    subject_id: int
    screened: Screened
    trigger: str
    attempt: int
    started_at: datetime
    finished_at: datetime
    shadow: bool = False
    run_id: int | None = None


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
        self,
        screened: Screened,
        *,
        trigger: str,
        attempt: int,
        started_at: datetime,
        finished_at: datetime,
        shadow: bool = False,
        partial: bool = False,
        run_id: int | None = None,
    ) -> int:
        """Append a screening with all its findings and verdicts; its id. The subject is recorded if it is new.

        Args:
            screened: what it came to.
            trigger: why it was run.
            attempt: the how-manieth it is.
            started_at: when it began.
            finished_at: when it ended.
            shadow: it reaches no desk.
            partial: only some of the checks that act had their say, so it takes nothing off the desk.
            run_id: the run over the index that it is part of.
        """
        ...

    def get(self, screening_id: int) -> ScreeningRecord:
        """A screening by its number.

        Raises:
            NotFound: there is none.
        """
        ...

    def after(self, screening_id: int, *, limit: int) -> list[ScreeningRecord]:
        """Screenings with higher numbers, the lowest first, for exports; the shadow's too, and marked so."""
        ...

    def last_before(self, moment: datetime) -> int:
        """The number below the first screening that ended at that moment or after; without one, the last."""
        ...

    def judged(self, action: Action, *, after: int, limit: int) -> list[tuple[int, list[Decision]]]:
        """Subjects on which that action was ever taken, with all decisions on each, the oldest first.

        Args:
            action: what a person decided.
            after: the id of a subject; those with higher ids come, the lowest first.
            limit: the most subjects.
        """
        ...

    def known_findings(self, subject: Subject, check: str, *, shadow: bool) -> list[Finding]:
        """What a scheduled check has found of a subject so far, in any version of it."""
        ...

    def subject(self, subject_id: int) -> Subject | None:
        """A subject by its id."""
        ...

    def subject_id(self, subject: Subject) -> int | None:
        """The id of a subject, if it is known."""
        ...

    def latest(self, subject: Subject) -> ScreeningRecord | None:
        """The newest screening of a subject; of those in the shadow, none."""
        ...

    def screenings(self, subject: Subject, *, limit: int) -> list[ScreeningRecord]:
        """The newest screenings of a subject, newest first; of those in the shadow, none."""
        ...

    def count_screenings(self, subject: Subject) -> int:
        """How often a subject was screened, not counting the shadow."""
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
