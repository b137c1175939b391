"""The HTTP server: waitress with our limits (`reception`), our time-keeping (`channel`) and a clean end.

Headers that a proxy would set (`X-Forwarded-…`) are dropped: nobody is trusted to say who is asking. The server
does not name itself.
"""

from __future__ import annotations

import errno
import resource
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from wsgiref.types import WSGIApplication

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher

from gatehouse.core.errors import OperatorError
from gatehouse.web.channel import Channel
from gatehouse.web.proxied import noting_proxies
from gatehouse.web.reception import MAX_HEAD, Limits, Spool

#: When this share of all connections is taken, those that have sent nothing yet must hurry.
_CROWDED = 0.75
#: How long requests under way may take to end when the server stops, in seconds.
_STOP_SECONDS = 10.0
# File descriptors for the database, logs and what else a process has open; and what remains for connections.
_OTHER_FILES = 128
_FEWEST = 16
_UNLIMITED = 1_000_000


class Server:
    """A bound server. `run` serves until `stop` is called, from any thread or a signal handler."""

    def __init__(
        self, listeners: list[Any], sockets: dict[int, Any], dispatcher: ThreadedTaskDispatcher, spool: Spool
    ) -> None:
        self._listeners = listeners
        self._sockets = sockets
        self._dispatcher = dispatcher
        self._stopping = threading.Event()
        self.spool = spool
        self.port = int(listeners[0].effective_port)

    def run(self) -> None:
        """Serve. Returns when `stop` was called and what was under way has ended, or has taken too long."""
        try:
            while not self._stopping.is_set():
                self._turn(1.0)
        except (KeyboardInterrupt, SystemExit):
            self._stopping.set()
        finally:
            self._end()

    def stop(self) -> None:
        """Let `run` return; no new connection is taken."""
        self._stopping.set()
        self._listeners[0].pull_trigger()

    def _turn(self, seconds: float) -> None:
        wasyncore.loop(timeout=seconds, use_poll=True, map=self._sockets, count=1)

    def _end(self) -> None:
        for listener in self._listeners:
            listener.accepting = False
            listener.del_channel()
            listener.socket.close()
        deadline = time.monotonic() + _STOP_SECONDS
        while time.monotonic() < deadline and any(listener.busy for listener in self._listeners):
            self._turn(0.1)
        self._dispatcher.shutdown(timeout=max(0.0, deadline - time.monotonic()))
        wasyncore.close_all(self._sockets, ignore_all=True)


def serve(
    app: WSGIApplication,
    host: str,
    port: int,
    *,
    max_body: int,
    temp_dir: Path,
    threads: int = 8,
    head_seconds: float = 30.0,
    pace_seconds: float = 30.0,
    pace_rate: int = 1024,
    body_seconds: float = 3600.0,
    linger_seconds: float = 10.0,
    connections: int = 1000,
    spool_bytes: int | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Server:
    """Bind, and return a server that is ready to `run`.

    Args:
        app: what answers.
        host: the address or name to listen on.
        port: the port; 0 takes a free one, which is then the server's `port`.
        max_body: the largest body of an upload, in bytes (`FormLimits.body` gives it from the file's limit).
        temp_dir: where large bodies lie until they are answered; made if there is none.
        threads: how many requests are worked on at once.
        head_seconds: how long a connection may take from its start, or the last answer, to a complete head.
        pace_seconds: the span over which senders and readers must keep the pace.
        pace_rate: the least bytes a second over each such span.
        body_seconds: the longest that a body may take.
        linger_seconds: how long the rest of a refused body is read and dropped.
        connections: how many connections are open at once, at most; each takes up to two file descriptors, so
            that a low limit of the process (`ulimit -n`) lowers this too.
        spool_bytes: how many bytes all bodies together may take on disk; without it, twenty of the largest.
        clock: seconds that never go back, by which clients are timed.

    Raises:
        OperatorError: the address cannot be listened on, or the folder cannot be made.
    """
    limits = Limits(
        max_body=max_body,
        spool=20 * max_body if spool_bytes is None else spool_bytes,
        temp_dir=temp_dir,
        head_seconds=head_seconds,
        pace_seconds=pace_seconds,
        pace_rate=pace_rate,
        body_seconds=body_seconds,
        linger_seconds=linger_seconds,
        connections=min(connections, _room_for_connections()),
    )
    try:
        temp_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OperatorError(f"Cannot make the folder {temp_dir}: {error.strerror}.") from error
    try:
        adjustments = _adjustments(host, port, threads, limits, clock)
    except ValueError as error:
        raise OperatorError(f"Cannot listen on {host!r}: it is no address of this machine.") from error
    sockets: dict[int, Any] = {}
    dispatcher = ThreadedTaskDispatcher()
    listeners: list[Any] = []
    absent: OSError | None = None
    for sockinfo in adjustments.listen:
        before = set(sockets)
        try:
            listeners.append(_Listener(app, sockets, dispatcher=dispatcher, adj=adjustments, sockinfo=sockinfo))
        except OSError as error:
            _close(sockets, sockets.keys() - before)
            absent = error
            # A name may stand for an address of a kind that this machine has not, beside one that it has.
            if error.errno == errno.EADDRNOTAVAIL:
                continue
            wasyncore.close_all(sockets, ignore_all=True)
            raise OperatorError(f"Cannot listen on {host} port {port}: {error.strerror}.") from error
        if not port:
            # One free port cannot be had on two addresses at once.
            break
    if not listeners:
        reason = "it has no address" if absent is None else absent.strerror
        raise OperatorError(f"Cannot listen on {host} port {port}: {reason}.") from absent
    for listener in listeners:
        # Around waitress's own wrapper, which drops what a proxy says.
        listener.application = noting_proxies(listener.application)
    dispatcher.set_thread_count(threads)
    return Server(listeners, sockets, dispatcher, adjustments.spool)


def _room_for_connections() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _UNLIMITED if soft == resource.RLIM_INFINITY else max(_FEWEST, (soft - _OTHER_FILES) // 2)


def _close(sockets: dict[int, Any], descriptors: set[int]) -> None:
    """Close what a listener that could not be bound has left."""
    for descriptor in descriptors:
        # Closing one takes what belongs to it out of the map too, and that may be the next one here.
        leftover = sockets.pop(descriptor, None)
        if leftover is not None:
            leftover.close()


class _Adjustments(Adjustments):  # type: ignore[misc]  # waitress ships no types
    """waitress's settings and ours: it hands them to every connection and every parser."""

    limits: Limits
    spool: Spool
    clock: Callable[[], float]


def _adjustments(host: str, port: int, threads: int, limits: Limits, clock: Callable[[], float]) -> Adjustments:
    adjustments = _Adjustments(
        host=host,
        port=port,
        threads=threads,
        ident=None,
        asyncore_use_poll=True,
        recv_bytes=64 * 1024,
        # Below what a buffer takes in memory, so that no answer is ever written to a temporary file.
        outbuf_high_watermark=512 * 1024,
        max_request_header_size=MAX_HEAD,
        # `reception` has the limits; waitress's own would answer in its own words.
        max_request_body_size=2**62,
        connection_limit=limits.connections,
        cleanup_interval=1,
        log_socket_errors=False,
    )
    adjustments.limits = limits
    adjustments.spool = Spool(limits.spool)
    adjustments.clock = clock
    return adjustments


class _Listener(TcpWSGIServer):  # type: ignore[misc]  # waitress ships no types
    channel_class = Channel

    def maintenance(self, _now: float) -> None:
        """Called by the loop about once a second."""
        crowded = len(self._map) >= _CROWDED * self.adj.connection_limit
        for channel in list(self.active_channels.values()):
            channel.keep_time(crowded=crowded)

    @property
    def busy(self) -> bool:
        """Whether an answer is being made or sent."""
        return any(channel.requests or channel.total_outbufs_len for channel in self.active_channels.values())
