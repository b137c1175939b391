"""The loops that run beside the web in one process: the outbox and the publisher."""

from __future__ import annotations

from collections.abc import Sequence

from gatehouse.gate.accept import ADMIT_FILE
from gatehouse.wiring import Gatehouse, build_publisher
from gatehouse.worker.loop import Loop
from gatehouse.worker.outbox import OutboxLoop
from gatehouse.worker.publisher import PublisherLoop


def build_loops(gatehouse: Gatehouse, *, steal: bool) -> Sequence[Loop]:
    """Make the loops, not yet started; their faults show in `/readyz`.

    Args:
        gatehouse: the parts that they work with.
        steal: whether the publisher may take the lease from whoever seems to hold it.
    """
    outbox = OutboxLoop(
        database=gatehouse.database,
        clock=gatehouse.clock,
        handlers={ADMIT_FILE: gatehouse.admit},
        bell=gatehouse.outbox_bell,
    )
    publisher = PublisherLoop(
        publisher=build_publisher(gatehouse),
        clock=gatehouse.clock,
        delay=gatehouse.settings.publish_delay,
        bell=gatehouse.publisher_bell,
        steal=steal,
    )
    gatehouse.health.faults.extend([lambda: outbox.fault, lambda: publisher.fault])
    return [outbox, publisher]
