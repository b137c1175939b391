"""A process that screens and nothing else, on this machine or another: `gatehouse worker`.

It takes work from the database, woken by the broker if there is one, and by its own clock if not. At SIGTERM it
finishes what it has in hand and takes no more; what it cannot finish it gives back. One that has grown beyond its
memory does the same by itself, and whoever started it starts it again.
"""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from threading import Event
from types import FrameType, ModuleType

import structlog

from gatehouse.core.errors import OperatorError
from gatehouse.gate.bell import Bell
from gatehouse.settings import Settings
from gatehouse.wiring import Gatehouse
from gatehouse.worker.loop import Loop
from gatehouse.worker.screening import (
    claim_time,
    other_loops,
    running,
    sandboxed,
    screening_handlers,
    screening_loops,
)
from gatehouse.worker.tasks import Tasks

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 10.0
_MIB = 1024 * 1024


class MemoryLoop(Loop):
    """Ends a process that has grown beyond what it may have, as SIGTERM would."""

    def __init__(self, limit: int, *, used: Callable[[], int], end: Callable[[], None]) -> None:
        """Take the limit and the measure in bytes, and what ends the process."""
        super().__init__("memory", Bell())
        self._limit = limit
        self._used = used
        self._end = end
        self._told = False

    def round(self) -> float:
        """Look once."""
        used = self._used()
        if used > self._limit and not self._told:
            self._told = True
            log.warning("this worker has grown too large and ends", mib=used // _MIB, limit=self._limit // _MIB)
            self._end()
        return _LOOK_SECONDS


def require_shared(settings: Settings) -> None:
    """Refuse to work where nobody else may.

    Raises:
        OperatorError: the state is a server's own, or nothing would be screened.
    """
    if settings.embedded:
        raise OperatorError("Workers need a database that processes share: set GATEHOUSE_DATABASE_URL.")
    if not settings.screening_slots:
        raise OperatorError("With GATEHOUSE_SCREENING_SLOTS at 0 a worker would do nothing.")


def work(gatehouse: Gatehouse, *, ready: Callable[[], None]) -> None:
    """Work until SIGTERM or SIGINT. Must run in the main thread.

    Args:
        gatehouse: the parts to work with.
        ready: called when work is taken.

    Raises:
        OperatorError: the state is not shared, or the extra `redis` is not installed.
    """
    settings = gatehouse.settings
    require_shared(settings)
    with sandboxed(gatehouse) as screener:
        memory = MemoryLoop(settings.worker_memory, used=resident_bytes, end=_end_politely)
        others = [*other_loops(gatehouse, screener), memory]
        if settings.broker_url:
            tasks = Tasks(
                database=gatehouse.database,
                clock=gatehouse.clock,
                handlers=screening_handlers(gatehouse, screener),
                claim=claim_time(settings),
            )
            with running(gatehouse, others):
                _serve_broker(gatehouse, tasks, ready=ready)
        else:
            with running(gatehouse, [*screening_loops(gatehouse, screener), *others]):
                _wait(gatehouse, ready=ready)


def resident_bytes() -> int:
    """The memory of this process alone: the sandbox has limits of its own."""
    return int(Path("/proc/self/statm").read_bytes().split()[1]) * resource.getpagesize()


def _end_politely() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def _serve_broker(gatehouse: Gatehouse, tasks: Tasks, *, ready: Callable[[], None]) -> None:
    celery_app = import_celery()
    settings = gatehouse.settings
    app = celery_app.make_app(settings.broker_url, claim=claim_time(settings))
    try:
        celery_app.run_worker(
            app,
            tasks.work_on,
            slots=settings.screening_slots,
            on_hangup=gatehouse.checks.wish,
            ready=ready,
        )
    finally:
        tasks.release()
        app.close()


def import_celery() -> ModuleType:
    """The module that speaks to Celery.

    Raises:
        OperatorError: Celery or redis are not installed.
    """
    try:
        from gatehouse.worker import celery_app  # noqa: PLC0415 -- an extra, and half a second
    except ModuleNotFoundError as error:
        raise OperatorError("A broker needs Celery and redis: install gatehouse-index[redis].") from error
    return celery_app


def _wait(gatehouse: Gatehouse, *, ready: Callable[[], None]) -> None:
    ended = Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    signal.signal(signal.SIGHUP, lambda _number, _frame: gatehouse.checks.wish())
    ready()
    ended.wait()
