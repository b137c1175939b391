"""What screens in a process: the sandbox, who works on what, and the loops; beside a web and alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import structlog

from gatehouse.gate.accept import SCREEN_FILE
from gatehouse.gate.bell import Bell
from gatehouse.gate.screen import SHADOW_FILE
from gatehouse.sandbox.model import SandboxUnavailable
from gatehouse.sandbox.screener import ZygoteScreener
from gatehouse.settings import Settings
from gatehouse.wiring import Gatehouse, build_backfill, build_screen, build_screener, build_shadow
from gatehouse.worker.checks import RunLoop
from gatehouse.worker.loop import Loop
from gatehouse.worker.outbox import OutboxLoop
from gatehouse.worker.reloading import ReloadLoop
from gatehouse.worker.tasks import Handler

log = structlog.get_logger(__name__)

#: The topics of the outbox that workers elsewhere can work on: they need the database, the blobs and a sandbox.
TOPICS = frozenset({SCREEN_FILE, SHADOW_FILE})
#: What a screening may take besides reading the file: waiting for a slot, storing what was found.
_CLAIM_MARGIN = timedelta(seconds=20)


@contextmanager
def sandboxed(gatehouse: Gatehouse) -> Iterator[ZygoteScreener]:
    """A sandbox while the block runs, started now: what is wrong with it shows before the first upload."""
    with build_screener(gatehouse.settings) as screener:
        try:
            isolation = screener.start()
        except SandboxUnavailable as error:
            # Files are taken up all the same; they end INCOMPLETE, and the operator chose what that means.
            log.warning("nothing can be screened", reason=error.message)
        else:
            log.info(
                "sandbox",
                network_namespace=isolation.namespaces,
                landlock=isolation.landlock,
                seccomp=isolation.syscalls,
            )
        yield screener


def sandbox_fault(screener: ZygoteScreener) -> str | None:
    """Why nothing can be screened here, if that is so."""
    try:
        screener.start()
    except SandboxUnavailable as error:
        return f"Nothing can be screened: {error.message}"
    return None


def claim_time(settings: Settings) -> timedelta:
    """How long a screening is claimed for: longer than it takes, so that no two work on one file."""
    return settings.screening_seconds + _CLAIM_MARGIN


def screening_handlers(gatehouse: Gatehouse, screener: ZygoteScreener) -> dict[str, Handler]:
    """Who works on each of `TOPICS`."""
    return {SCREEN_FILE: build_screen(gatehouse, screener), SHADOW_FILE: build_shadow(gatehouse, screener)}


def screening_loops(gatehouse: Gatehouse, screener: ZygoteScreener) -> list[Loop]:
    """The loops that screen uploads, one message each: a file that takes long to read keeps no other waiting."""
    handlers = screening_handlers(gatehouse, screener)
    # The shadow has a loop of its own, so that no upload waits for it.
    bells: list[tuple[str, str, Bell]] = [
        (f"screening-{number}", SCREEN_FILE, bell)
        for number, bell in enumerate(gatehouse.screening_bells, start=1)
    ]
    if bells:
        bells.append(("shadow", SHADOW_FILE, Bell()))
    return [
        OutboxLoop(
            name,
            database=gatehouse.database,
            clock=gatehouse.clock,
            handlers={topic: handlers[topic]},
            bell=bell,
            batch=1,
            claim=claim_time(gatehouse.settings),
        )
        for name, topic, bell in bells
    ]


def other_loops(gatehouse: Gatehouse, screener: ZygoteScreener) -> list[Loop]:
    """The loops for which no upload waits: runs over what the index holds, and new code of checks."""
    backfill = build_backfill(gatehouse, screener)
    runs = [
        RunLoop(f"runs-{number}", backfill=backfill, bell=gatehouse.runs_bell)
        for number in range(1, gatehouse.settings.backfill_slots + 1)
    ]
    reload = ReloadLoop(checks=gatehouse.checks, screener=screener, then=gatehouse.lifecycle.sync)
    return [*runs, reload]


@contextmanager
def running(gatehouse: Gatehouse, loops: list[Loop], *probes: Callable[[], str | None]) -> Iterator[None]:
    """Run loops while the block runs; /readyz says what ails them. What is under way is finished at the end."""
    faults = [*probes, *map(_probe, loops)]
    gatehouse.health.faults.extend(faults)
    for loop in loops:
        loop.start()
    try:
        yield
    finally:
        for loop in loops:
            loop.stop()
        for fault in faults:
            gatehouse.health.faults.remove(fault)


def _probe(loop: Loop) -> Callable[[], str | None]:
    return lambda: loop.fault
