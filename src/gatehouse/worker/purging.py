"""The loop that tells caches of changes: everything that waits in the outbox for it, in one go.

- What waits is put together, each key once: a burst of publications is one purge.
- What fails is tried again, for ever: an answer may be held for a year, and a file that left the index must not.
  Meanwhile nothing else suffers: a cache that is away makes no fault of ours, but a count and a line in the log.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import timedelta

import structlog

from gatehouse.core.clock import Clock
from gatehouse.core.errors import StoreError
from gatehouse.gate.bell import Bell
from gatehouse.gate.ports import Database, Message, Purger
from gatehouse.gate.purge import TOPIC
from gatehouse.worker.loop import Loop

log = structlog.get_logger(__name__)

_BATCH = 100
#: Longer than so many messages take, and how long a server that was killed keeps others from sending its own.
_CLAIM = timedelta(minutes=1)
_FIRST_RETRY, _LONGEST_RETRY = timedelta(seconds=1), timedelta(minutes=1)
# The bell rings before the change is committed.
_SETTLE_SECONDS = 0.03
_SWEEP_SECONDS = 0.25


class PurgeLoop(Loop):
    """Empties the outbox of purges."""

    def __init__(
        self, *, database: Database, clock: Clock, purger: Purger, bell: Bell, count: Callable[[str], None]
    ) -> None:
        """A loop of its own thread.

        Args:
            database: where the outbox is.
            clock: tells the time.
            purger: tells the caches.
            bell: rung when something was put into the outbox.
            count: told of each purge: `done` or `failed`.
        """
        super().__init__("purges", bell)
        self._database = database
        self._clock = clock
        self._purger = purger
        self._count = count

    def round(self) -> float:
        """Tell the caches of all that waits."""
        time.sleep(_SETTLE_SECONDS)
        while not self.stopping and self.work_once():
            pass
        return _SWEEP_SECONDS

    def work_once(self) -> int:
        """Send one batch; how many messages it had."""
        with self._database.read() as transaction:
            waiting, _ = transaction.outbox.count()
        if not waiting:
            return 0
        with self._database.write() as transaction:
            messages = transaction.outbox.claim({TOPIC}, limit=_BATCH, now=self._clock.now(), lease=_CLAIM)
        if messages:
            self._send(messages)
        return len(messages)

    def _send(self, messages: Sequence[Message]) -> None:
        keys = list(dict.fromkeys(key for message in messages for key in message.payload["keys"]))
        try:
            self._purger.purge(keys)
        except StoreError as error:
            self._put_back(messages, error)
            return
        # A crash here sends the same purges again, which harms nobody.
        with self._database.write() as transaction:
            transaction.outbox.done([message.id for message in messages])
        self._count("done")
        log.info("told the caches", keys=len(keys), messages=len(messages))

    def _put_back(self, messages: Sequence[Message], error: StoreError) -> None:
        self._count("failed")
        log.error("the caches could not be told and will be again", reason=error.message, messages=len(messages))
        now = self._clock.now()
        with self._database.write() as transaction:
            for message in messages:
                wait = min(_LONGEST_RETRY, _FIRST_RETRY * 2 ** min(message.attempts - 1, 10))
                transaction.outbox.fail(message.id, f"{type(error).__name__}: {error}", retry_at=now + wait)
