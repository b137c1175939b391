"""What is done with a message is the same whoever calls, once, and given back by who cannot finish it."""

from __future__ import annotations

from datetime import timedelta
from threading import Event, Thread

from gatehouse.gate.ports import Message
from gatehouse.storage.sql.database import SqlDatabase
from gatehouse.worker.tasks import MAX_ATTEMPTS, Tasks
from tests.support.house import HandClock
from tests.support.waiting import wait_until


class Handler:
    def __init__(self, database: SqlDatabase) -> None:
        self.database = database
        self.seen: list[int] = []

    def __call__(self, messages: list[Message]) -> None:
        self.seen += [message.id for message in messages]
        with self.database.write() as transaction:
            transaction.outbox.done([message.id for message in messages])


def tasks_of(database: SqlDatabase, handler: Handler, clock: HandClock) -> Tasks:
    return Tasks(database=database, clock=clock, handlers={"work": handler}, batch=1)


def add(database: SqlDatabase, clock: HandClock) -> int:
    with database.write() as transaction:
        transaction.outbox.add("work", {}, at=clock.now())
        return transaction.outbox.due(["work"], limit=1, now=clock.now())[0]


def test_a_task_that_comes_twice_is_done_once(database: SqlDatabase) -> None:
    clock, handler = HandClock(), Handler(database)
    tasks = tasks_of(database, handler, clock)
    number = add(database, clock)
    assert tasks.due(limit=5) == [number]
    assert tasks.work_on(number)
    assert not tasks.work_on(number)
    assert not tasks.work_on(number + 1)
    assert handler.seen == [number]


def test_what_every_worker_dies_of_ends_as_a_dead_letter(sqlite_database: SqlDatabase) -> None:
    clock, handler = HandClock(), Handler(sqlite_database)
    number = add(sqlite_database, clock)
    for _ in range(MAX_ATTEMPTS):
        with sqlite_database.write() as transaction:
            assert transaction.outbox.claim_one(number, now=clock.now(), lease=timedelta(seconds=1)) is not None
        clock.advance(timedelta(seconds=2))
    assert tasks_of(sqlite_database, handler, clock).work_on(number)
    assert handler.seen == []
    with sqlite_database.read() as transaction:
        letter = transaction.outbox.dead_letter(number)
    assert letter is not None
    assert "ended without a word" in letter.error


def test_what_is_in_hand_is_given_back_and_comes_to_nothing_here(sqlite_database: SqlDatabase) -> None:
    clock, begun, go_on = HandClock(), Event(), Event()
    held: list[bool] = []

    class Slow(Handler):
        def __call__(self, messages: list[Message]) -> None:
            begun.set()
            assert go_on.wait(60)
            with self.database.write() as transaction:
                held.append(transaction.outbox.holds(messages[0]))

    tasks = tasks_of(sqlite_database, Slow(sqlite_database), clock)
    number = add(sqlite_database, clock)
    thread = Thread(target=tasks.work_on, args=(number,))
    thread.start()
    assert begun.wait(60)
    assert tasks.release() == 1
    assert tasks.due(limit=5) == [number], "another may have it at once"
    go_on.set()
    wait_until(lambda: not thread.is_alive())
    assert held == [False]
    assert tasks.release() == 0
