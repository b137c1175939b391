"""What a commit will write, read while the bins are made.

A publication's targets lie anywhere among millions. Where the database must fetch each place from the disk as it
writes there, the commit waits for the disk a few thousand times, one after the other, and both processors with it.
Read-only, and nothing rests on it: whatever fails here fails again, aloud, where it matters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Event, Thread

from gatehouse.core.errors import GatehouseError
from gatehouse.gate.ports import Database, JournalEntry

#: Fewer are written sooner than a thread starts.
_WORTH_A_THREAD = 64
#: So many at a time, for the block may end before all are read.
_AT_ONCE = 256


@contextmanager
def warming(database: Database, entries: Sequence[JournalEntry]) -> Iterator[None]:
    """A block during which another thread reads what these changes will be written over."""
    if len(entries) < _WORTH_A_THREAD:
        yield
        return
    over = Event()
    thread = Thread(target=_read, args=(database, entries, over), name="publisher-warming", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _read(database: Database, entries: Sequence[JournalEntry], over: Event) -> None:
    keys = sorted((entry.bin, entry.change.path) for entry in entries)
    with suppress(GatehouseError), database.read() as transaction:
        for begin in range(0, len(keys), _AT_ONCE):
            if over.is_set():
                return
            transaction.signing.touch_targets(keys[begin : begin + _AT_ONCE])
