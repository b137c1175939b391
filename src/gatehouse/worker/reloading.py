"""The loop that has new code of checks loaded while the server runs: on a wish, such as a SIGHUP."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from gatehouse.core.errors import GatehouseError
from gatehouse.gate.loaded import LoadedChecks
from gatehouse.sandbox.screener import ZygoteScreener
from gatehouse.worker.loop import Loop

log = structlog.get_logger(__name__)

_LONG = 3600.0


class ReloadLoop(Loop):
    """Loads the checks anew on a wish: in the sandbox first, since a job may only name what is there."""

    def __init__(self, *, checks: LoadedChecks, screener: ZygoteScreener, then: Callable[[], object]) -> None:
        """Take the checks of this process, the sandbox that runs them, and what is to be done with new ones."""
        super().__init__("reload", checks.bell)
        self._checks = checks
        self._screener = screener
        self._then = then

    def round(self) -> float:
        """Load them, if that is wished; what ran before goes on if they cannot be."""
        if not self._checks.take_wish():
            return _LONG
        try:
            generation = self._screener.reload()
            registry = self._checks.reload()
        except GatehouseError as error:
            log.error("the checks could not be loaded anew; those of before go on", reason=error.message)  # noqa: TRY400 -- a fault of the code that was installed, told in one line
            return _LONG
        self._then()
        log.info("the checks were loaded anew", generation=generation, checks=len(registry.all()))
        return _LONG
