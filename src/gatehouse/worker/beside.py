"""The loops that run beside the web in one process: admission, screening and the publisher."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import structlog

from gatehouse.gate.accept import ADMIT_FILE, SCREEN_FILE
from gatehouse.gate.screen import Screen
from gatehouse.sandbox.model import SandboxUnavailable
from gatehouse.sandbox.screener import ZygoteScreener
from gatehouse.wiring import Gatehouse, build_publisher, build_screen, build_screener
from gatehouse.worker.loop import Loop
from gatehouse.worker.outbox import OutboxLoop
from gatehouse.worker.publisher import PublisherLoop

log = structlog.get_logger(__name__)

#: What a screening may take besides reading the file: waiting for a slot, storing what was found.
_CLAIM_MARGIN = timedelta(seconds=20)
_SWEEP_MARGIN = timedelta(minutes=1)


@contextmanager
def working(gatehouse: Gatehouse, *, alone: bool) -> Iterator[None]:
    """Work beside the block: let in, screen and publish. What is under way is finished at its end.

    Args:
        gatehouse: the parts to work with.
        alone: whether this process knows itself the only one, so that leases and claims of others are void.
    """
    # What is received now is locked, and so spared; the minute is for what is just being made.
    swept = gatehouse.blobs.sweep_incoming(gatehouse.clock.now() - _SWEEP_MARGIN)
    if swept:
        log.info("removed what uploads under way had left", files=swept)
    if alone:
        # Whoever claimed anything before this process is dead: its claims need not run out.
        with gatehouse.database.write() as transaction:
            transaction.outbox.unclaim()
    with build_screener(gatehouse.settings) as screener:
        _start(screener)
        loops = _loops(gatehouse, build_screen(gatehouse, screener), steal=alone)
        probes = [lambda: _sandbox_fault(screener), *map(_probe, loops)]
        gatehouse.health.faults.extend(probes)
        for loop in loops:
            loop.start()
        try:
            yield
        finally:
            for loop in loops:
                loop.stop()
            for probe in probes:
                gatehouse.health.faults.remove(probe)


def _start(screener: ZygoteScreener) -> None:
    """Start the sandbox now, so that what is wrong with it shows at the start and not with the first upload."""
    try:
        isolation = screener.start()
    except SandboxUnavailable as error:
        # Uploads are taken all the same; their screenings are INCOMPLETE, and the operator chose what that means.
        log.warning("nothing can be screened", reason=error.message)
    else:
        log.info(
            "sandbox",
            network_namespace=isolation.namespaces,
            landlock=isolation.landlock,
            seccomp=isolation.syscalls,
        )


def _sandbox_fault(screener: ZygoteScreener) -> str | None:
    try:
        screener.start()
    except SandboxUnavailable as error:
        return f"Nothing can be screened: {error.message}"
    return None


def _loops(gatehouse: Gatehouse, screen: Screen, *, steal: bool) -> Sequence[Loop]:
    settings = gatehouse.settings
    admission = OutboxLoop(
        "admission",
        database=gatehouse.database,
        clock=gatehouse.clock,
        handlers={ADMIT_FILE: gatehouse.admit},
        bell=gatehouse.outbox_bell,
    )
    # One message a loop: a file that takes long to read keeps no other waiting.
    screening = [
        OutboxLoop(
            f"screening-{number}",
            database=gatehouse.database,
            clock=gatehouse.clock,
            handlers={SCREEN_FILE: screen},
            bell=bell,
            batch=1,
            claim=settings.screening_seconds + _CLAIM_MARGIN,
        )
        for number, bell in enumerate(gatehouse.screening_bells, start=1)
    ]
    publisher = PublisherLoop(
        publisher=build_publisher(gatehouse),
        clock=gatehouse.clock,
        delay=settings.publish_delay,
        bell=gatehouse.publisher_bell,
        steal=steal,
    )
    return [admission, *screening, publisher]


def _probe(loop: Loop) -> Callable[[], str | None]:
    return lambda: loop.fault
