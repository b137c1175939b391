"""The life of checks, what it is judged by, and the runs of checks over what the index holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from gatehouse.malware.index_view import ProjectHistory
from gatehouse.malware.ledger import Alarm
from gatehouse.malware.lifecycle import StateChange
from gatehouse.malware.model import Kind, Outcome, Screened, Subject


class RunKind(StrEnum):
    """Why a check runs over what the index holds."""

    BACKFILL = "backfill"  # somebody wants to know
    REPLAY = "replay"  # does it find what was stored?
    RETRO_HUNT = "retro-hunt"  # it was promoted: what it flags is screened again, as if it came in now


class RunState(StrEnum):
    """How a run stands."""

    RUNNING = "running"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    FINISHED = "finished"

    @property
    def is_over(self) -> bool:
        """Whether nothing can come of it any more."""
        return self in (RunState.CANCELLED, RunState.FINISHED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """What a run has come to so far, in subjects.

    Attributes:
        done: looked at, or found gone.
        clean, flagged, incomplete: how those ended that were looked at.
        reached: flagged at the queue or above, as far as the check itself may go.
        gone: not in the index any more, when their turn came.
        same, different, incomparable: against what was stored; a replay counts each subject in one of them.
        rescreened: sent through the gate again, by a retro-hunt.
    """

    done: int = 0
    clean: int = 0
    flagged: int = 0
    incomplete: int = 0
    reached: int = 0
    gone: int = 0
    same: int = 0
    different: int = 0
    incomparable: int = 0
    rescreened: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class NewRun:
    """A run to begin. `sample` None means all there is; `seed` draws it; `against` is compared with."""

    kind: RunKind
    check: str
    version: str
    subjects: Kind
    actor: str
    reason: str
    against: str | None = None
    sample: int | None = None
    seed: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A run as it stands. `total` is how many subjects it looks at."""

    id: int
    new: NewRun
    state: RunState
    created_at: datetime
    ended_at: datetime | None
    total: int
    counts: Counts


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """Some files of a run, for one worker and for a while. `attempts` counts this claim and fences others."""

    id: int
    run: Run
    files: tuple[int, ...]
    attempts: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplayDifference:
    """A subject on which a replay came to something else: message and member of what only one side has."""

    subject: Subject
    gained: tuple[tuple[str, str | None], ...]
    lost: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class TimetableRun:
    """A run of a scheduled check over the index: what it found, and how much of it was new."""

    check: str
    version: str
    started_at: datetime
    finished_at: datetime
    outcome: Outcome
    reason: str | None = None
    found: int = 0
    fresh: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class CostShare:
    """What a check cost over the screenings looked at: processor time, and its share of that of all checks."""

    screenings: int
    seconds: float
    share: float

    @property
    def each(self) -> float:
        """Seconds of processor time in one screening."""
        return self.seconds / self.screenings if self.screenings else 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Costs:
    """The cost of each check by its name, over the newest screenings that measured it."""

    shares: Mapping[str, CostShare] = field(default_factory=dict)


class CheckStore(Protocol):
    """The steps in the life of checks, and what people made of their alarms."""

    def changes(self, check: str | None = None) -> list[StateChange]:
        """All steps (of one check), the oldest first."""
        ...

    def latest_changes(self) -> dict[tuple[str, str], StateChange]:
        """The newest step of each version of each check, by name and version."""
        ...

    def append(self, change: StateChange) -> None:
        """Append a step.

        Raises:
            Conflict: somebody else has taken the step of that number.
        """
        ...

    def alarms(self, check: str, version: str, *, shadow: bool, since: datetime | None, limit: int) -> list[Alarm]:
        """The newest alarms of one version of a check, newest first, each subject once, with their worth.

        Args:
            check: its name.
            version: its version.
            shadow: those that alerted nobody, instead of those that did.
            since: none that are older.
            limit: at most so many verdicts are looked at.
        """
        ...

    def costs(self, *, limit: int) -> Costs:
        """What checks cost in the newest screenings, at most so many."""
        ...

    def add_timetable(self, run: TimetableRun) -> None:
        """A scheduled check ran."""
        ...

    def last_timetable(self, check: str, version: str) -> TimetableRun | None:
        """The newest run of one version of a scheduled check."""
        ...

    def histories(self, *, since: datetime) -> list[ProjectHistory]:
        """The projects to which somebody came, or which somebody left, or that had a release, since then."""
        ...


class RunStore(Protocol):
    """Runs over what the index holds, in pieces that several workers share."""

    def subjects(self, kind: Kind) -> Iterator[int]:
        """The numbers of the files that a run over all subjects of that kind looks at, in order: one a subject.

        Files that are accepted, published or held, whose bytes are here; of a release or project, its first one.
        """
        ...

    def add(self, new: NewRun, *, files: Sequence[int] | None, piece: int, at: datetime) -> int:
        """Begin a run over these files, in pieces of so many; None: over all there are now. Its id."""
        ...

    def get(self, run_id: int) -> Run | None:
        """A run."""
        ...

    def recent(self, *, limit: int, check: str | None = None) -> list[Run]:
        """The newest runs first."""
        ...

    def set_state(self, run_id: int, state: RunState, *, at: datetime) -> None:
        """Pause, resume or cancel. A cancelled run loses its pieces."""
        ...

    def claim(self, *, run_id: int | None, piece: int, now: datetime, lease: timedelta) -> Piece | None:
        """Take a piece of a run (of any that is running, the oldest first); None if there is none to take.

        A piece comes back when its lease ends.
        """
        ...

    def unclaim(self) -> None:
        """Let go of every piece: for a process that knows itself the only one, after its predecessor died."""
        ...

    def finish(self, piece: Piece, counts: Counts, *, at: datetime) -> Run:
        """A piece is done: its counts are added, and the run is finished if it was the last. The run after it.

        Raises:
            LeaseLost: another worker has the piece, or the run was cancelled: nothing of it may be stored.
        """
        ...

    def release(self, piece: Piece, *, retry_at: datetime) -> None:
        """Give a piece back unfinished; it can be taken again from then on."""
        ...

    def add_difference(self, run_id: int, subject_id: int, difference: ReplayDifference) -> None:
        """A replay came to something else on a subject."""
        ...

    def differences(self, run_id: int, *, limit: int) -> list[ReplayDifference]:
        """The first differences that a replay found."""
        ...

    def stored_result(self, subject: Subject, check: str, version: str) -> Screened | None:
        """The newest complete screening of a subject in which that version of the check ran; None without one."""
        ...
