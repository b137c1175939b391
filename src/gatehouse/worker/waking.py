"""The loop that wakes workers elsewhere: it reads the outbox and tells the broker, again where nobody came.

- An upload never waits for the broker: it commits, rings, and this loop does the rest.
- What is told of is a short piece of the outbox, in its fair order, and no more than that lies at the broker: a
  later upload of another account is told of at once, and does not stand behind a flood.
- What was told of and still waits is told of again: soon where the broker holds nothing (it was lost), late where
  workers are busy. So an empty broker, a lost task or a dead worker cost time, never work.
- A broker that is away is a line in the log and a count, and no fault of this process, which serves all the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import structlog

from gatehouse.core.errors import StoreError
from gatehouse.gate.bell import Bell
from gatehouse.worker.loop import Loop

log = structlog.get_logger(__name__)

#: How many messages are told of at once; more than all workers together do at once.
WINDOW = 128
_SWEEP_SECONDS = 0.5
_PAUSE_SECONDS = 2.0
_AGAIN_IF_LOST, _AGAIN_IF_BUSY = 2.0, 60.0
# The bell rings once for many uploads; together they cost one look.
_SETTLE_SECONDS = 0.01


class Waker(Protocol):
    """The broker's side that wakes."""

    def backlog(self) -> int:
        """How many tasks nobody has taken yet."""
        ...

    def wake(self, message_id: int) -> None:
        """Tell workers of a message."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class WakeLoop(Loop):
    """Tells workers of what is due and claimed by nobody."""

    def __init__(
        self,
        *,
        due: Callable[[int], list[int]],
        waker: Waker,
        bell: Bell,
        count: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """A loop of its own thread.

        Args:
            due: the first so many messages that are due and that nobody works on, in their order.
            waker: tells workers.
            bell: rung when something was put into the outbox.
            count: told of each look: `done` or `failed`.
            clock: seconds, for what was told when.
        """
        super().__init__("waking", bell)
        self._due = due
        self._waker = waker
        self._count = count
        self._clock = clock
        self._told: dict[int, float] = {}
        self._away = False

    def round(self) -> float:
        """Look once, and tell."""
        time.sleep(_SETTLE_SECONDS)
        waiting = self._due(WINDOW)
        self._told = {message: self._told[message] for message in waiting if message in self._told}
        if not waiting:
            return _SWEEP_SECONDS
        try:
            told = self._tell(waiting)
        except StoreError as error:
            self._count("failed")
            if not self._away:
                log.error("workers cannot be told of what waits, and will be", reason=error.message)  # noqa: TRY400 -- one line, not a trace: it is the network's fault
            self._away = True
            return _PAUSE_SECONDS
        if self._away:
            log.info("workers are told again of what waits")
        self._away = False
        if told:
            self._count("done")
        return _SWEEP_SECONDS

    def close(self) -> None:
        """Let go of the broker."""
        self._waker.close()
        super().close()

    def _tell(self, waiting: list[int]) -> int:
        backlog = self._waker.backlog()
        again = _AGAIN_IF_BUSY if backlog else _AGAIN_IF_LOST
        now = self._clock()
        fresh = [message for message in waiting if now - self._told.get(message, -again) >= again]
        for message in fresh[: max(WINDOW - backlog, 0)]:
            self._waker.wake(message)
            self._told[message] = now
        return len(fresh)
