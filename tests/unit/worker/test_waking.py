"""Workers elsewhere are told of what waits: each message once, again where that was lost, and never too much."""

from __future__ import annotations

import structlog

from gatehouse.core.errors import StoreError
from gatehouse.gate.bell import Bell
from gatehouse.worker.waking import WINDOW, WakeLoop


class Broker:
    """Keeps what it was told, until somebody takes it."""

    def __init__(self) -> None:
        self.tasks: list[int] = []
        self.away = False

    def backlog(self) -> int:
        if self.away:
            raise StoreError("The broker cannot be reached.")
        return len(self.tasks)

    def wake(self, message_id: int) -> None:
        self.tasks.append(message_id)

    def close(self) -> None:
        self.tasks.clear()


class Scene:
    def __init__(self, *waiting: int) -> None:
        self.waiting = list(waiting)
        self.broker = Broker()
        self.now = 100.0
        self.counted: list[str] = []
        self.loop = WakeLoop(
            due=lambda limit: self.waiting[:limit],
            waker=self.broker,
            bell=Bell(),
            count=self.counted.append,
            clock=lambda: self.now,
        )

    def look(self, *, after: float = 0) -> list[int]:
        """What the broker holds after a look."""
        self.now += after
        self.loop.round()
        return self.broker.tasks


def test_each_message_is_told_of_once_while_workers_are_busy() -> None:
    scene = Scene(1, 2)
    assert scene.look() == [1, 2]
    scene.waiting.append(3)
    assert scene.look(after=10) == [1, 2, 3]


def test_what_a_broker_lost_is_told_of_again() -> None:
    scene = Scene(1, 2)
    scene.look()
    scene.broker.tasks.clear()
    assert scene.look(after=0.5) == [], "a worker may just be claiming it"
    assert scene.look(after=2) == [1, 2]


def test_a_task_that_no_worker_finished_is_told_of_again_although_others_wait() -> None:
    scene = Scene(1, 2)
    scene.look()
    scene.broker.tasks.remove(1)
    assert scene.look(after=59) == [2]
    assert scene.look(after=1) == [2, 1, 2]


def test_no_more_lies_at_the_broker_than_the_window() -> None:
    scene = Scene(*range(10 * WINDOW))
    assert len(scene.look()) == WINDOW
    assert len(scene.look(after=100)) == WINDOW
    del scene.broker.tasks[:10], scene.waiting[:10]
    assert len(scene.look(after=1)) == WINDOW


def test_a_broker_that_is_away_is_told_once_in_the_log_and_is_no_fault_of_the_server() -> None:
    scene = Scene(1)
    scene.broker.away = True
    with structlog.testing.capture_logs() as logs:
        scene.look()
        scene.look(after=2)
        scene.broker.away = False
        assert scene.look(after=2) == [1]
    assert [entry["log_level"] for entry in logs] == ["error", "info"]
    assert scene.counted == ["failed", "failed", "done"]
    assert scene.loop.fault is None
