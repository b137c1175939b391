"""The loops that run beside the web in one process: the outbox and the publisher."""

from __future__ import annotations

from collections.abc import Sequence

from gatehouse.gate.accept import ADMIT_FILE
from gatehouse.wiring import Gatehouse, build_publisher
from gatehouse.worker.loop import Loop
from gatehouse.worker.outbox import OutboxLoop
from gatehouse.worker.publisher import PublisherLoop


def build_loops(gatehouse: Gatehouse, *, alone: bool) -> Sequence[Loop]:
    """Make the loops, not yet started; their faults show in `/readyz`.

    Args:
        gatehouse: the parts that they work with.
        alone: whether this process knows itself the only one, so that leases and claims of others are void.
    """
    outbox = OutboxLoop(
        database=gatehouse.database,
        clock=gatehouse.clock,
        handlers={ADMIT_FILE: gatehouse.admit},
        bell=gatehouse.outbox_bell,
        alone=alone,
    )
    publisher = PublisherLoop(
        publisher=build_publisher(gatehouse),
        clock=gatehouse.clock,
        delay=gatehouse.settings.publish_delay,
        bell=gatehouse.publisher_bell,
        steal=alone,
    )
    gatehouse.health.faults.extend([lambda: outbox.fault, lambda: publisher.fault])
    return [outbox, publisher]
