"""While bins are made, a thread reads what their commit will write; nothing depends on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event
from types import SimpleNamespace
from typing import Any

from gatehouse.core.errors import StoreError
from gatehouse.gate.publishing.making import ahead
from gatehouse.gate.publishing.warming import warming
from gatehouse.tuf.model import BinRef, Family
from tests.support.house import House
from tests.support.targets import journal


class Reading:
    """A database of which only this much is read."""

    def __init__(self, *, broken: bool = False, slow: bool = False) -> None:
        self.touched: list[str] = []
        self.began, self.all = Event(), Event()
        self._broken, self._slow = broken, slow

    @contextmanager
    def read(self) -> Iterator[Any]:
        yield SimpleNamespace(signing=self)
        self.all.set()

    def touch_targets(self, keys: Sequence[tuple[BinRef, str]]) -> None:
        self.began.set()
        if self._broken:
            raise StoreError("The database is away.")
        self.touched += [path for _, path in keys]
        if self._slow:
            Event().wait(0.05)


def entries(count: int) -> list[Any]:
    return [
        SimpleNamespace(
            bin=BinRef(family=Family.FILES, index=number % 7), change=SimpleNamespace(path=f"files/a/{number}")
        )
        for number in range(count)
    ]


def test_every_target_of_many_changes_is_read_and_few_are_not_worth_it() -> None:
    database: Any = Reading()
    with warming(database, entries(1000)):
        assert database.all.wait(30)
    assert sorted(database.touched) == sorted(f"files/a/{number}" for number in range(1000))
    with warming(database, entries(3)):
        pass
    assert len(database.touched) == 1000


def test_it_ends_with_the_block_however_much_is_left() -> None:
    database: Any = Reading(slow=True)
    with warming(database, entries(100_000)):
        assert database.began.wait(30)
    assert len(database.touched) < 100_000


def test_what_fails_in_it_fails_nothing_else() -> None:
    database: Any = Reading(broken=True)
    with warming(database, entries(1000)):
        assert database.began.wait(30)
    assert not database.touched


def test_files_are_told_of_while_others_are_still_to_come() -> None:
    told: list[int] = []
    for number in ahead(range(10), told.append, by=3):
        assert told == list(range(min(number + 4, 10)))
    assert list(ahead([1, 2], told.append, by=3)) == [1, 2]
    assert not list(ahead([], told.append, by=3))


def test_many_changes_at_once_are_published(home: House) -> None:
    paths = [f"files/example/example-{number}.zip" for number in range(80)]
    journal(home, *paths)
    publication = home.publisher.publish()
    assert publication is not None
    assert publication.changes == 80
    with home.gatehouse.database.read() as transaction:
        assert transaction.signing.count_targets() >= 80
