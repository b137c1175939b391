"""The keeper's loop: once an hour, cleans up, sweeps and archives what is due."""

from __future__ import annotations

from gatehouse.gate.bell import Bell
from gatehouse.gate.keep.keeper import Keeper
from gatehouse.worker.loop import Loop

#: Not at once: a server that has just started has more urgent things to do.
FIRST_AFTER = 300.0
EVERY = 3600.0


class KeeperLoop(Loop):
    """Lets the keeper do what is due, hourly."""

    def __init__(
        self, keeper: Keeper, *, steal: bool, first_after: float = FIRST_AFTER, every: float = EVERY
    ) -> None:
        """A loop of its own thread.

        Args:
            keeper: who does it.
            steal: whether this process knows itself the only one.
            first_after: seconds until the first time.
            every: seconds from then on.
        """
        super().__init__("keeper", Bell())
        self._keeper = keeper
        self._steal = steal
        self._first_after: float | None = first_after
        self._every = every

    def round(self) -> float:
        """Wait at first, then do what is due."""
        if self._first_after is not None:
            pause, self._first_after = self._first_after, None
            return pause
        # Only the first time: what another took from us since then is its own.
        steal, self._steal = self._steal, False
        self._keeper(stopping=lambda: self.stopping, steal=steal)
        return self._every
