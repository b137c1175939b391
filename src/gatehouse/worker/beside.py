"""The loops that run beside the web in one process: admission, screening, the publisher, compression, purges.

With a broker, uploads are screened by workers elsewhere (`standalone`), and a loop here wakes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta

import structlog

from gatehouse.gate.accept import ADMIT_FILE
from gatehouse.gate.bell import Bell
from gatehouse.gate.keep.sweep import DISCARD
from gatehouse.settings import Settings
from gatehouse.wiring import Gatehouse, build_publisher, holder
from gatehouse.wiring.keeping import build_discard, build_keeper
from gatehouse.worker.checks import JudgeLoop
from gatehouse.worker.encoding import EncodingLoop
from gatehouse.worker.keeper import KeeperLoop
from gatehouse.worker.loop import Loop
from gatehouse.worker.outbox import OutboxLoop
from gatehouse.worker.publisher import PublisherLoop
from gatehouse.worker.purging import PurgeLoop
from gatehouse.worker.screening import (
    TOPICS,
    claim_time,
    other_loops,
    running,
    sandbox_fault,
    sandboxed,
    screening_loops,
)
from gatehouse.worker.standalone import import_celery
from gatehouse.worker.waking import WakeLoop

log = structlog.get_logger(__name__)

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
            transaction.runs.unclaim()
    loops = _loops(gatehouse, steal=alone)
    if gatehouse.settings.broker_url:
        loops.append(_waking(gatehouse))
    with ExitStack() as stack:
        if not _screens(gatehouse.settings):
            gatehouse.lifecycle.sync()
            stack.enter_context(running(gatehouse, loops, gatehouse.lifecycle.fault))
        else:
            screener = stack.enter_context(sandboxed(gatehouse))
            loops += [*screening_loops(gatehouse, screener)] if not gatehouse.settings.broker_url else []
            loops += other_loops(gatehouse, screener)
            stack.enter_context(
                running(gatehouse, loops, lambda: sandbox_fault(screener), gatehouse.lifecycle.fault)
            )
        yield


def _screens(settings: Settings) -> bool:
    """Whether this process needs a sandbox: for uploads that no broker hands to others, or for runs."""
    return settings.backfill_slots > 0 or (settings.screening_slots > 0 and not settings.broker_url)


def _waking(gatehouse: Gatehouse) -> Loop:
    """The loop that wakes workers elsewhere."""
    settings = gatehouse.settings
    celery_app = import_celery()

    # It works on nothing, and asks what those would claim who do.
    def due(limit: int) -> list[int]:
        with gatehouse.database.read() as transaction:
            return transaction.outbox.due(TOPICS, limit=limit, now=gatehouse.clock.now())

    return WakeLoop(
        due=due,
        waker=celery_app.Broker(celery_app.make_app(settings.broker_url, claim=claim_time(settings))),
        bell=gatehouse.waking_bell,
        count=lambda outcome: gatehouse.wakes.labels(outcome).inc(),
    )


def _loops(gatehouse: Gatehouse, *, steal: bool) -> list[Loop]:
    """What a server does whoever screens."""
    settings = gatehouse.settings
    admission = OutboxLoop(
        "admission",
        database=gatehouse.database,
        clock=gatehouse.clock,
        handlers={ADMIT_FILE: gatehouse.admit, DISCARD: build_discard(gatehouse)},
        bell=gatehouse.outbox_bell,
    )
    publisher = PublisherLoop(
        publisher=build_publisher(gatehouse),
        clock=gatehouse.clock,
        delay=settings.publish_delay,
        bell=gatehouse.publisher_bell,
        steal=steal,
    )
    keeper = KeeperLoop(build_keeper(gatehouse), steal=steal)
    compression = EncodingLoop(
        database=gatehouse.database, store=gatehouse.metadata_store, encodings=gatehouse.metadata_encodings
    )
    judge = JudgeLoop(lifecycle=gatehouse.lifecycle, timetable=gatehouse.timetable, holder=holder(), bell=Bell())
    return [admission, publisher, compression, keeper, judge, *_purging(gatehouse)]


def _purging(gatehouse: Gatehouse) -> list[Loop]:
    """The loop that tells the caches in front, if there are any."""
    if gatehouse.purger is None:
        return []
    return [
        PurgeLoop(
            database=gatehouse.database,
            clock=gatehouse.clock,
            purger=gatehouse.purger,
            bell=gatehouse.purge_bell,
            count=lambda outcome: gatehouse.purge_runs.labels(outcome).inc(),
        )
    ]
