"""The story of letting an accepted file in: it becomes published and its target changes enter the journal.

One transaction takes a batch of outbox messages, moves the files, appends the changes and finishes the
messages, so that a crash anywhere does all of it again or none. A project's pages are rendered once a batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from gatehouse.catalog.model import File, FileState
from gatehouse.core.clock import Clock
from gatehouse.core.errors import InternalError
from gatehouse.core.names import file_target
from gatehouse.gate.accept import ADMIT_FILE
from gatehouse.gate.pages import in_bins, page_changes
from gatehouse.gate.ports import Blobs, Database, Message, Transaction
from gatehouse.gate.trust import Trust
from gatehouse.tuf.model import Target, TargetChange


@dataclass(frozen=True, kw_only=True, slots=True)
class Admit:
    """Handles the outbox topic `admit-file`. `ring` tells the publisher that the journal has grown."""

    database: Database
    blobs: Blobs
    clock: Clock
    trust: Trust
    ring: Callable[[], None]

    topic = ADMIT_FILE

    def __call__(self, messages: list[Message]) -> None:
        """Let in the files of these messages and finish the messages."""
        now = self.clock.now()
        with self.database.write() as transaction:
            ids = {int(message.payload["file_id"]) for message in messages}
            # A message may come twice; a file that has moved on since is none of ours.
            waiting = [file for file in transaction.catalog.get_files(ids) if file.state is FileState.ACCEPTED]
            self._let_in(transaction, waiting, now)
            transaction.outbox.done([message.id for message in messages])
        if waiting:
            self.ring()

    def _let_in(self, transaction: Transaction, files: list[File], now: datetime) -> None:
        layout = self.trust.state(transaction).layout
        # Projects are locked in the order of their names, so that two batches cannot wait for each other.
        for name, group in groupby(sorted(files, key=lambda file: (file.project, file.id)), lambda f: f.project):
            members = list(group)
            project = transaction.catalog.find_project(name, lock=True)
            if project is None:
                raise InternalError(f"The files of project {name!r} have lost their project.")
            transaction.catalog.set_file_state([file.id for file in members], FileState.PUBLISHED, at=now)
            changes = [_publish(file) for file in members] + page_changes(transaction, self.blobs, project)
            transaction.journal.append(in_bins(layout, changes), at=now)


def _publish(file: File) -> TargetChange:
    path = file_target(file.project, file.filename)
    return TargetChange(
        path=path, target=Target(path=path, sha256=file.sha256, length=file.size), cause="published"
    )
