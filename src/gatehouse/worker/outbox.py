"""The outbox loop: the engine that needs no broker. It looks for messages when it is rung, and each second."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from gatehouse.core.clock import Clock
from gatehouse.gate.bell import Bell
from gatehouse.gate.ports import Database
from gatehouse.worker.loop import Loop
from gatehouse.worker.tasks import BATCH, CLAIM, MAX_ATTEMPTS, Handler, Tasks

__all__ = ["MAX_ATTEMPTS", "Handler", "OutboxLoop"]

_SWEEP_SECONDS = 1.0


class OutboxLoop(Loop):
    """Empties the outbox of some topics."""

    def __init__(
        self,
        name: str,
        *,
        database: Database,
        clock: Clock,
        handlers: Mapping[str, Handler],
        bell: Bell,
        batch: int = BATCH,
        claim: timedelta = CLAIM,
    ) -> None:
        """A loop of its own thread.

        Args:
            name: what to call it in logs and faults.
            database: where the outbox is.
            clock: tells the time.
            handlers: who works on which topic.
            bell: rung when something was put into the outbox.
            batch: how many messages to claim at once.
            claim: how long a claim lasts; longer than any handler takes.
        """
        super().__init__(name, bell)
        self._tasks = Tasks(database=database, clock=clock, handlers=handlers, claim=claim, batch=batch)

    def round(self) -> float:
        """Work until nothing is due."""
        while not self.stopping and self.work_once():
            pass
        return _SWEEP_SECONDS

    def stop(self, seconds: float = 10.0) -> None:
        """Finish the round under way and end; what takes longer than that is given back."""
        super().stop(seconds)
        self._tasks.release()

    def work_once(self) -> int:
        """Claim one batch and work on it; how many messages it had."""
        return self._tasks.work_once()
