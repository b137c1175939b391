"""The story of a run over what the index holds, as a person sees it: begin, pause, resume, cancel.

A run looks at everything that was there when it began, or at a sample that anybody can draw again from its seed.
Who works on it, and what comes of it, is `gate.backfill`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType

from gatehouse.core.clock import Clock
from gatehouse.core.errors import CallerError, Conflict, NotFound
from gatehouse.gate.ports import AuditEntry, Database, NewRun, Run, RunState, Transaction
from gatehouse.malware.comparison import MAX_SEED, sample

#: Subjects that one worker takes at a time: what a crash does over, and how long a pause waits for what runs.
PIECE = 8
_SEED_BYTES = 8
_MAX_SAMPLE = 10_000_000
_FROM: Mapping[RunState, frozenset[RunState]] = MappingProxyType(
    {
        RunState.PAUSED: frozenset({RunState.RUNNING}),
        RunState.RUNNING: frozenset({RunState.PAUSED}),
        RunState.CANCELLED: frozenset({RunState.RUNNING, RunState.PAUSED}),
    }
)


def begin(transaction: Transaction, new: NewRun, *, at: datetime) -> int:
    """Begin a run, and draw its sample if it has one; without a seed, with one that nobody knew before. Its id.

    Raises:
        CallerError: the sample has no possible size, or the seed is no text for it.
    """
    if new.sample is None:
        return transaction.runs.add(replace(new, seed=None), files=None, piece=PIECE, at=at)
    if not 1 <= new.sample <= _MAX_SAMPLE:
        raise CallerError(f"A sample has from 1 to {_MAX_SAMPLE} files.")
    seed = new.seed or secrets.token_hex(_SEED_BYTES)
    if not seed.isprintable() or len(seed.encode()) > MAX_SEED:
        raise CallerError(f"A seed is printable text of at most {MAX_SEED} bytes.")
    files = sample(transaction.runs.subjects(new.subjects), size=new.sample, seed=seed)
    return transaction.runs.add(replace(new, seed=seed), files=files, piece=PIECE, at=at)


@dataclass(frozen=True, kw_only=True, slots=True)
class Runs:
    """Begins runs and moves them. `ring` wakes whoever works on them."""

    database: Database
    clock: Clock
    ring: Callable[[], None] = lambda: None

    def begin(self, new: NewRun) -> Run:
        """Begin a run.

        Raises:
            CallerError: the sample or the seed cannot be.
        """
        now = self.clock.now()
        with self.database.write() as transaction:
            run_id = begin(transaction, new, at=now)
            run = _get(transaction, run_id)
            transaction.audit.append(_audit_entry(run, new.actor, "run:begin", now))
        self.ring()
        return run

    def get(self, run_id: int) -> Run:
        """A run.

        Raises:
            NotFound: there is none.
        """
        with self.database.read() as transaction:
            return _get(transaction, run_id)

    def move(self, run_id: int, state: RunState, *, actor: str) -> Run:
        """Pause a run, let a paused one go on (`RUNNING`), or cancel one.

        What is under way when a run is paused is finished and counted; when it is cancelled, it is thrown away.

        Raises:
            NotFound: there is none.
            Conflict: it cannot go from where it stands to there.
        """
        now = self.clock.now()
        with self.database.write() as transaction:
            run = _get(transaction, run_id)
            if run.state not in _FROM.get(state, frozenset()):
                raise Conflict(f"Run {run_id} is {run.state}: it cannot become {state}.")
            transaction.runs.set_state(run_id, state, at=now)
            run = _get(transaction, run_id)
            transaction.audit.append(_audit_entry(run, actor, f"run:{state}", now))
        self.ring()
        return run


def _get(transaction: Transaction, run_id: int) -> Run:
    run = transaction.runs.get(run_id)
    if run is None:
        raise NotFound(f"There is no run {run_id}.")
    return run


def _audit_entry(run: Run, actor: str, action: str, at: datetime) -> AuditEntry:
    new = run.new
    detail = {"run": run.id, "kind": new.kind.value, "check": new.check, "version": new.version}
    return AuditEntry(at=at, actor=actor, action=action, detail=detail | {"total": run.total, "seed": new.seed})
