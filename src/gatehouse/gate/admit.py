"""The story of letting an accepted file in before its screening has ended: PyPI's way, `publish_then_screen`.

One transaction takes a batch of outbox messages, moves the files, appends the changes and finishes the
messages, so that a crash anywhere does all of it again or none. A project's pages are rendered once a batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gatehouse.catalog.model import FileState
from gatehouse.core.clock import Clock
from gatehouse.gate.ports import Database, Message
from gatehouse.gate.transitions import Transitions


@dataclass(frozen=True, kw_only=True, slots=True)
class Admit:
    """Handles the outbox topic `admit-file`. `ring` tells the publisher that the journal has grown."""

    database: Database
    clock: Clock
    transitions: Transitions
    ring: Callable[[], None]

    def __call__(self, messages: list[Message]) -> None:
        """Let in the files of these messages and finish the messages."""
        with self.database.write() as transaction:
            # A message may come twice; a file that has moved on since stays where it is.
            moved = self.transitions.move(
                transaction,
                {int(message.payload["file_id"]) for message in messages},
                FileState.PUBLISHED,
                leaving={FileState.ACCEPTED},
                at=self.clock.now(),
                cause="published",
            )
            transaction.outbox.done([message.id for message in messages])
        if moved:
            self.ring()
