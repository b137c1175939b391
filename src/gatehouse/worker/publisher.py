"""The publisher loop: becomes the publisher when it can, publishes what is pending, renews what is due."""

from __future__ import annotations

import time
from datetime import timedelta

import structlog

from gatehouse.core.clock import Clock
from gatehouse.core.errors import LeaseLost
from gatehouse.gate.bell import Bell
from gatehouse.gate.publish import Publisher
from gatehouse.worker.loop import Loop

log = structlog.get_logger(__name__)
_SWEEP_SECONDS = 1.0


class PublisherLoop(Loop):
    """Publishes in groups: after the first change it waits `delay` for more to come."""

    def __init__(
        self, *, publisher: Publisher, clock: Clock, delay: timedelta, bell: Bell, steal: bool = False
    ) -> None:
        super().__init__("publisher", bell)
        self._publisher = publisher
        self._clock = clock
        self._delay = delay.total_seconds()
        self._steal = steal
        self._waiting = False

    def round(self) -> float:
        """Publish until nothing is pending or due."""
        try:
            if not self._publisher.at_work and not self._take_over():
                return _SWEEP_SECONDS
            time.sleep(self._delay)
            while not self.stopping:
                self._publisher.keep_lease()
                if self._publisher.publish() is None:
                    break
        except LeaseLost:
            log.warning("another publisher took over")
            self._publisher.forget()
        return self._until_due()

    def close(self) -> None:
        """Give the lease back."""
        self._publisher.stop()
        super().close()

    def _take_over(self) -> bool:
        # Only the first time: a publisher that lost its lease must not wrest it back.
        steal, self._steal = self._steal, False
        if self._publisher.start(steal=steal):
            log.info("this process publishes now")
            self._waiting = False
        elif not self._waiting:
            log.info("another publisher holds the lease; this process takes over when it ends")
            self._waiting = True
        return self._publisher.at_work

    def _until_due(self) -> float:
        if not self._publisher.at_work:
            return _SWEEP_SECONDS
        until_due = (self._publisher.next_due() - self._clock.now()).total_seconds()
        return min(_SWEEP_SECONDS, until_due)
