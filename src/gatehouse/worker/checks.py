"""The loops of the checks' own life: runs over what the index holds, the timetable, and the judge."""

from __future__ import annotations

from gatehouse.gate.backfill import Backfill
from gatehouse.gate.bell import Bell
from gatehouse.gate.lifecycle import Lifecycle
from gatehouse.gate.schedule import Timetable
from gatehouse.worker.loop import Loop

_SWEEP_SECONDS = 5.0
_JUDGE_SECONDS = 60.0


class RunLoop(Loop):
    """Works on runs, a piece at a time. Several of them, here and in other processes, share what there is."""

    def __init__(self, name: str, *, backfill: Backfill, bell: Bell) -> None:
        super().__init__(name, bell)
        self._backfill = backfill

    def round(self) -> float:
        """Work until no run has anything left."""
        while not self.stopping and self._backfill.work_once() is not None:
            pass
        return _SWEEP_SECONDS


class JudgeLoop(Loop):
    """Counts checks that are new, runs what the timetable says, and takes a tier from what left its bounds."""

    def __init__(self, *, lifecycle: Lifecycle, timetable: Timetable, holder: str, bell: Bell) -> None:
        super().__init__("checks", bell)
        self._lifecycle = lifecycle
        self._timetable = timetable
        self._holder = holder

    def round(self) -> float:
        """Do all three once."""
        self._lifecycle.sync()
        self._lifecycle.judge()
        self._timetable.run_due(self._holder)
        return _JUDGE_SECONDS
