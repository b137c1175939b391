"""What is done with messages of the outbox, the same whoever calls: a loop of ours, or a worker of Celery.

- A message is worked on under a claim in the database, and nowhere else: who told of it, and how often, does not
  matter.
- What fails is tried again, alone, later; what fails for good stays as a dead letter. So does what was taken up
  too often by somebody who ended without a word.
- What is in hand when the process ends is given back (`release`), so that nobody waits for the claim to run out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from threading import Lock
from typing import Protocol

import structlog

from gatehouse.core.clock import Clock
from gatehouse.core.errors import InternalError
from gatehouse.gate.ports import Database, Message

log = structlog.get_logger(__name__)

BATCH = 100
MAX_ATTEMPTS = 10
CLAIM = timedelta(seconds=30)
_FIRST_RETRY = timedelta(seconds=1)
_LONGEST_RETRY = timedelta(minutes=10)


class Handler(Protocol):
    """Does the work of a batch of messages and finishes them, in one transaction of its own."""

    def __call__(self, messages: list[Message]) -> None:
        """Do the work, or raise and have done nothing."""
        ...


class Tasks:
    """Claims messages and hands them to the story that their topic names. Safe to use from many threads."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        handlers: Mapping[str, Handler],
        claim: timedelta = CLAIM,
        batch: int = BATCH,
    ) -> None:
        """Nothing is claimed yet.

        Args:
            database: where the outbox is.
            clock: tells the time.
            handlers: who works on which topic.
            claim: how long a claim lasts; longer than any handler takes.
            batch: how many messages `work_once` claims.
        """
        self._database = database
        self._clock = clock
        self._handlers = handlers
        self._claim = claim
        self._batch = batch
        self._lock = Lock()
        self._in_hand: dict[int, Message] = {}

    def work_once(self) -> int:
        """Claim one batch and work on it; how many messages it had."""
        # Asked first, since asking hinders no writer.
        if not self.due(limit=1):
            return 0
        now = self._clock.now()
        with self._database.write() as transaction:
            messages = transaction.outbox.claim(set(self._handlers), limit=self._batch, now=now, lease=self._claim)
        self._work_on(messages)
        return len(messages)

    def due(self, *, limit: int) -> list[int]:
        """The messages that would be claimed next."""
        with self._database.read() as transaction:
            return transaction.outbox.due(set(self._handlers), limit=limit, now=self._clock.now())

    def work_on(self, message_id: int) -> bool:
        """Claim this message and work on it; False if there was nothing to do: it is done, or another's.

        It must be of a topic that there is a handler for; one that is not fails, is tried again and stays.
        """
        with self._database.write() as transaction:
            message = transaction.outbox.claim_one(message_id, now=self._clock.now(), lease=self._claim)
        if message is None:
            return False
        self._work_on([message])
        return True

    def release(self) -> int:
        """Give back what is in hand, for a process that ends now; how much that was."""
        with self._lock:
            messages = list(self._in_hand.values())
            self._in_hand.clear()
        if messages:
            with self._database.write() as transaction:
                for message in messages:
                    transaction.outbox.release(message)
            log.info("gave back what was in hand", messages=len(messages))
        return len(messages)

    def _work_on(self, messages: Sequence[Message]) -> None:
        with self._lock:
            self._in_hand |= {message.id: message for message in messages}
        try:
            for message in messages:
                if message.attempts > MAX_ATTEMPTS:
                    self._fail(message, InternalError("Whoever took it up ended without a word."))
            living = [message for message in messages if message.attempts <= MAX_ATTEMPTS]
            for topic in sorted({message.topic for message in living}):
                self._handle(topic, [message for message in living if message.topic == topic])
        finally:
            # Where not even the failure could be noted, the claim runs out by itself.
            with self._lock:
                for message in messages:
                    self._in_hand.pop(message.id, None)

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
            if transaction.outbox.holds(message):
                retry_at = None if last else self._clock.now() + wait
                transaction.outbox.fail(message.id, f"{type(error).__name__}: {error}", retry_at=retry_at)
