"""Celery over Redis: who wakes workers on other machines, and the worker that is woken (ADR 0003, 0025).

- A task says "look at message 17" and nothing else. Whoever gets it claims the message in the database, or finds
  that there is nothing to do: a task that comes twice, late or never changes nothing.
- Late acknowledgement, one task a thread in advance, and a visibility timeout beyond every claim: what a worker
  that died had taken comes back in Redis too, if only to be found done.
- A pool of threads: the work is in the sandbox's own children, which a process of one thread forks; a worker that
  forks by itself would copy what our threads hold.
- No result is kept, no remote control is listened to, JSON alone is read: whoever can write to this Redis can wake
  workers, and nothing more.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from datetime import timedelta
from types import FrameType

import structlog
from celery import Celery  # type: ignore[import-untyped] # it ships no types
from celery.signals import setup_logging, worker_ready  # type: ignore[import-untyped] # as above
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from gatehouse.core.errors import StoreError

log = structlog.get_logger(__name__)

TASK = "gatehouse.wake"
QUEUE = "gatehouse"
#: After so long a task that nobody took is nothing: the message has been told of again by then.
_EXPIRES_SECONDS = 120
_CONNECT_SECONDS = 2
_ANSWER_SECONDS = 5


class BrokerUnavailable(StoreError):
    """The broker cannot be reached: workers elsewhere learn of nothing until it can."""

    code = "broker-unavailable"


def make_app(broker_url: str, *, claim: timedelta) -> Celery:
    """The application, for both sides. Nothing is connected yet.

    Args:
        broker_url: where Redis is.
        claim: how long a message is claimed; a task is given to another after twice that.
    """
    app = Celery("gatehouse", broker=broker_url, set_as_current=False)
    app.conf.update(
        task_default_queue=QUEUE,
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_serializer="json",
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_soft_shutdown_timeout=claim.total_seconds(),
        broker_connection_retry=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=_CONNECT_SECONDS,
        broker_transport_options={
            "visibility_timeout": 2 * claim.total_seconds(),
            "socket_connect_timeout": _CONNECT_SECONDS,
            "socket_timeout": _ANSWER_SECONDS,
            "global_keyprefix": "gatehouse:",
        },
    )
    return app


class Broker:
    """The side that wakes. One thread uses it."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def backlog(self) -> int:
        """How many tasks nobody has taken yet.

        Raises:
            BrokerUnavailable: it does not answer.
        """
        try:
            with self._app.connection_for_write() as connection, connection.channel() as channel:
                return int(channel.queue_declare(QUEUE, durable=True).message_count)
        except (OperationalError, RedisError, OSError) as error:
            raise BrokerUnavailable(f"The broker cannot be reached: {type(error).__name__}.") from error

    def wake(self, message_id: int) -> None:
        """Tell workers of a message.

        Raises:
            BrokerUnavailable: it does not answer.
        """
        try:
            self._app.send_task(
                TASK, (message_id,), expires=_EXPIRES_SECONDS, retry=False, ignore_result=True, queue=QUEUE
            )
        except (OperationalError, RedisError, OSError) as error:
            raise BrokerUnavailable(f"The broker cannot be reached: {type(error).__name__}.") from error

    def close(self) -> None:
        """Let go of its connections."""
        self._app.close()


def run_worker(
    app: Celery,
    work_on: Callable[[int], object],
    *,
    slots: int,
    on_hangup: Callable[[], None],
    ready: Callable[[], None],
) -> None:
    """Take tasks until SIGTERM or SIGINT, and finish then what is in hand. Must run in the main thread.

    Args:
        app: what `make_app` made.
        work_on: does the work of a message; must not raise.
        slots: how many at once.
        on_hangup: what SIGHUP means.
        ready: called when tasks are taken.
    """

    @app.task(name=TASK, ignore_result=True)  # type: ignore[untyped-decorator] # Celery ships no types
    def wake(message_id: int) -> None:
        try:
            work_on(int(message_id))
        except Exception:
            # The database, as a rule. The message is there, and whoever wakes tells of it again.
            log.exception("a task came to nothing", message=message_id)

    def hang_up(_number: int, _frame: FrameType | None) -> None:
        on_hangup()

    def begun(**_: object) -> None:
        # Celery would start its own program anew.
        signal.signal(signal.SIGHUP, hang_up)
        ready()

    setup_logging.connect(_forward_logs, weak=False)
    worker_ready.connect(begun, weak=False)
    try:
        worker = app.Worker(
            pool="threads",
            concurrency=slots,
            queues=[QUEUE],
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            quiet=True,
        )
        worker.start()
    finally:
        worker_ready.disconnect(begun)
        setup_logging.disconnect(_forward_logs)


class _Forward(logging.Handler):
    """Says in our log what Celery says in Python's, in one line."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log it."""
        said = record.getMessage().strip().splitlines()
        log.log(record.levelno, said[0] if said else "", logger=record.name)


def _forward_logs(**_: object) -> None:
    for name in ("celery", "kombu"):
        logger = logging.getLogger(name)
        logger.handlers = [_Forward()]
        logger.propagate = False
        # Each task that is taken and done is a line at the level below.
        logger.setLevel(logging.WARNING)
