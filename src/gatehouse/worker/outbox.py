"""The outbox loop: claims messages and hands them to the story that their topic names."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Protocol

import structlog

from gatehouse.core.clock import Clock
from gatehouse.gate.bell import Bell
from gatehouse.gate.ports import Database, Message
from gatehouse.worker.loop import Loop

log = structlog.get_logger(__name__)

BATCH = 100
MAX_ATTEMPTS = 10
CLAIM = timedelta(seconds=30)
_SWEEP_SECONDS = 1.0
_FIRST_RETRY = timedelta(seconds=1)
_LONGEST_RETRY = timedelta(minutes=10)


class Handler(Protocol):
    """Does the work of a batch of messages and finishes them, in one transaction of its own."""

    def __call__(self, messages: list[Message]) -> None:
        """Do the work, or raise and have done nothing."""
        ...


class OutboxLoop(Loop):
    """Empties the outbox. What fails is tried again, alone, later; what fails for good stays as a dead letter."""

    def __init__(
        self,
        name: str,
        *,
        database: Database,
        clock: Clock,
        handlers: Mapping[str, Handler],
        bell: Bell,
        batch: int = BATCH,
        claim: timedelta = CLAIM,
    ) -> None:
        """A loop of its own thread.

        Args:
            name: what to call it in logs and faults.
            database: where the outbox is.
            clock: tells the time.
            handlers: who works on which topic.
            bell: rung when something was put into the outbox.
            batch: how many messages to claim at once.
            claim: how long a claim lasts; longer than any handler takes.
        """
        super().__init__(name, bell)
        self._database = database
        self._clock = clock
        self._handlers = handlers
        self._batch = batch
        self._claim = claim

    def round(self) -> float:
        """Work until nothing is due."""
        while not self.stopping and self.work_once():
            pass
        return _SWEEP_SECONDS

    def work_once(self) -> int:
        """Claim one batch and work on it; how many messages it had."""
        now = self._clock.now()
        with self._database.read() as transaction:
            waiting, _ = transaction.outbox.count()
        if not waiting:
            return 0
        with self._database.write() as transaction:
            messages = transaction.outbox.claim(set(self._handlers), limit=self._batch, now=now, lease=self._claim)
        for topic in sorted({message.topic for message in messages}):
            self._handle(topic, [message for message in messages if message.topic == topic])
        return len(messages)

    def _handle(self, topic: str, messages: list[Message]) -> None:
        try:
            self._handlers[topic](messages)
        except Exception as error:  # noqa: BLE001 -- one bad message must not stop the others
            if len(messages) > 1:
                # One of them is at fault; each alone shows which.
                for message in messages:
                    self._handle(topic, [message])
                return
            self._fail(messages[0], error)

    def _fail(self, message: Message, error: Exception) -> None:
        last = message.attempts >= MAX_ATTEMPTS
        wait = min(_LONGEST_RETRY, _FIRST_RETRY * 2 ** (message.attempts - 1))
        log.error("message failed", message=message.id, topic=message.topic, last=last, exc_info=error)
        with self._database.write() as transaction:
            retry_at = None if last else self._clock.now() + wait
            transaction.outbox.fail(message.id, f"{type(error).__name__}: {error}", retry_at=retry_at)
