"""The publisher loop: becomes the publisher when it can, publishes what is pending, renews what is due.

A heartbeat keeps its lease while it works, however long a publication takes. It stops when one takes longer than
any should, so that a publisher that hangs makes way for another.
"""

from __future__ import annotations

import gc
import time
from datetime import timedelta
from threading import Event, Thread

import structlog

from gatehouse.core.clock import Clock
from gatehouse.core.errors import GatehouseError, LeaseLost
from gatehouse.gate.bell import Bell
from gatehouse.gate.publish import Publisher
from gatehouse.worker.allocator import keep_freed_memory
from gatehouse.worker.loop import Loop

log = structlog.get_logger(__name__)
_SWEEP_SECONDS = 1.0
_PAUSE_SECONDS = 0.02
_LONGEST_SECONDS = 600.0


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
        self._begun = time.monotonic()
        self._ended = Event()
        self._heart = Thread(target=self._beat, name="publisher-lease", daemon=True)

    def start(self) -> None:
        """Begin."""
        keep_freed_memory()
        self._heart.start()
        super().start()

    def round(self) -> float:
        """Publish until nothing is pending or due."""
        self._begun = time.monotonic()
        try:
            if not self._publisher.at_work and not self._take_over():
                return _SWEEP_SECONDS
            time.sleep(self._delay)
            while not self.stopping:
                self._begun = time.monotonic()
                self._publisher.keep_lease()
                if self._publisher.publish() is None:
                    break
        except LeaseLost:
            log.warning("another publisher took over")
            self._publisher.forget()
        return self._until_due()

    def close(self) -> None:
        """Give the lease back."""
        self._ended.set()
        self._publisher.stop()
        super().close()

    def _beat(self) -> None:
        """Keep the lease as long as the loop lives and gets on with its work."""
        while not self._ended.wait(self._publisher.lease_time.total_seconds() / 4):
            if time.monotonic() - self._begun > _LONGEST_SECONDS:
                log.error("a publication takes too long; its lease is not kept any more")
                continue
            try:
                self._publisher.keep_lease()
            except LeaseLost:
                # The loop finds out by itself, before its next write.
                log.warning("the lease was lost")
            except GatehouseError as error:
                log.warning("the lease could not be kept", reason=error.message)

    def _take_over(self) -> bool:
        # Only the first time: a publisher that lost its lease must not wrest it back.
        steal, self._steal = self._steal, False
        if self._publisher.start(steal=steal):
            # What was read lives as long as this one publishes: no collection need look at it again.
            gc.freeze()
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
        # Where an import overtook the publisher, something is due at once and again; that is no reason to spin.
        return min(_SWEEP_SECONDS, max(until_due, _PAUSE_SECONDS))
