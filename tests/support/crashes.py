"""A metadata store and a database that fail where a test says, before a write or after it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from gatehouse.gate.ports import Database
from gatehouse.tuf.ports import MetadataStore, Stage, StoredFile


class Crash(BaseException):
    """The process died here. Not an Exception: nothing in the code under test may catch it and go on."""


@dataclass
class Fuse:
    """Counts the writes of a publication and burns at one of them. `after`: the write still took place."""

    at: int
    after: bool
    writes: int = 0

    @contextmanager
    def write(self) -> Iterator[None]:
        """Wrap one write."""
        mine = self.writes
        self.writes += 1
        if mine == self.at and not self.after:
            raise Crash
        yield
        if mine == self.at and self.after:
            raise Crash


@dataclass
class Pause:
    """As a fuse, but the process is only held up: meanwhile others act, and then it goes on."""

    at: int
    after: bool
    meanwhile: Callable[[], object]
    writes: int = 0

    @contextmanager
    def write(self) -> Iterator[None]:
        """Wrap one write."""
        mine = self.writes
        self.writes += 1
        if mine == self.at and not self.after:
            self.meanwhile()
        yield
        if mine == self.at and self.after:
            self.meanwhile()


class PassingStore:
    """A metadata store that hands everything on to another: what stands in front of one begins from it."""

    def __init__(self, store: MetadataStore) -> None:
        self._store = store

    def probe(self) -> None:
        self._store.probe()

    def epoch(self) -> int:
        return self._store.epoch()

    def fence(self, epoch: int) -> None:
        self._store.fence(epoch)

    def read(self, name: str) -> bytes | None:
        return self._store.read(name)

    def expect(self, name: str) -> None:
        self._store.expect(name)

    def files(self) -> Iterator[StoredFile]:
        return self._store.files()

    def staging(self) -> AbstractContextManager[Stage]:
        return self._store.staging()

    def create(self, files: Iterable[tuple[str, bytes]]) -> None:
        self._store.create(files)

    def delete(self, names: Iterable[str]) -> int:
        return self._store.delete(names)

    def move_timestamp(self, data: bytes, *, epoch: int) -> None:
        self._store.move_timestamp(data, epoch=epoch)


class FusedStore(PassingStore):
    """A metadata store behind a fuse."""

    def __init__(self, store: MetadataStore, fuse: Fuse | Pause) -> None:
        super().__init__(store)
        self._fuse = fuse

    def delete(self, names: Iterable[str]) -> int:
        deleted = 0
        for name in names:
            with self._fuse.write():
                deleted += self._store.delete([name])
        return deleted

    def create(self, files: Iterable[tuple[str, bytes]]) -> None:
        for file in files:
            # One at a time, so that a crash leaves some of them.
            with self._fuse.write():
                self._store.create([file])

    def move_timestamp(self, data: bytes, *, epoch: int) -> None:
        with self._fuse.write():
            self._store.move_timestamp(data, epoch=epoch)


class FusedDatabase:
    """A database behind a fuse: a crash before a commit loses the transaction, one after it does not."""

    def __init__(self, database: Database, fuse: Fuse | Pause) -> None:
        self._database = database
        self._fuse = fuse

    def read(self) -> Any:
        return self._database.read()

    @contextmanager
    def write(self) -> Iterator[Any]:
        with self._fuse.write(), self._database.write() as transaction:
            yield transaction
