"""Surrogate keys and purges: what the caches in front are told when something changed.

A response carries keys; a purge names them. Purges leave by the outbox, in the transaction that makes the change
visible, so none is lost and none is sent for what did not happen.

Each is sent twice. A cache that asked us just before the change may have our old answer under way when the first
purge comes, and keep it afterwards; the second finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from gatehouse.core.names import parse_target
from gatehouse.gate.ports import JournalEntry, Transaction

TOPIC = "purge"
#: When the second purge follows: longer than an answer takes from here to a cache.
AGAIN_AFTER = timedelta(seconds=5)
#: How many keys one message carries at most: Fastly takes 256 in a request.
KEYS_A_MESSAGE = 256

TIMESTAMP_KEY = "tuf/timestamp"
#: Every root, and the 404 of the next one.
ROOT_KEY = "tuf/root"
#: All other metadata. It never changes, so nothing purges it but a person who mends a store.
METADATA_KEY = "tuf/metadata"
PROJECTS_KEY = "simple"


def project_key(name: str) -> str:
    """What every page of a project carries."""
    return f"simple/{name}"


def files_key(name: str) -> str:
    """What every file of a project carries."""
    return f"files/{name}"


def is_soft(key: str) -> bool:
    """Whether what carries a key may be handed out once more after its purge: a page, and nothing else."""
    return key.startswith(PROJECTS_KEY)


def _nobody() -> None:
    """Nobody works on purges here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Purges:
    """Writes purges into the outbox. Not `enabled` where no cache stands in front: nothing is written then.

    `ring` wakes whoever sends them. It is rung before the transaction is committed, so they look a little later.
    """

    enabled: bool = False
    ring: Callable[[], None] = _nobody

    def published(self, transaction: Transaction, entries: Iterable[JournalEntry], *, at: datetime) -> None:
        """A publication became visible: its timestamp, and the pages and files that it changed."""
        if self.enabled:
            self.announce(transaction, [TIMESTAMP_KEY, *_changed(entries)], at=at)

    def announce(self, transaction: Transaction, keys: Iterable[str], *, at: datetime) -> None:
        """Purge these keys once the transaction is committed."""
        if not self.enabled:
            return
        rest = iter(dict.fromkeys(keys))
        while piece := list(islice(rest, KEYS_A_MESSAGE)):
            for moment in (at, at + AGAIN_AFTER):
                transaction.outbox.add(TOPIC, {"keys": piece}, at=moment)
        self.ring()


def _changed(entries: Iterable[JournalEntry]) -> Iterator[str]:
    for entry in entries:
        name = parse_target(entry.change.path)
        if name.kind == "page":
            yield project_key(name.project)
            yield PROJECTS_KEY
        elif entry.change.target is None:
            # A file's bytes never change; only its going must be told.
            yield files_key(name.project)
