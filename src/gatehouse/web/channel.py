"""One connection: how long its sender and its reader may take, and how it ends.

All of this runs on the server's one loop, once a second for each connection, and holds no thread.

- A sender that is late with a head, or slower with a body than the least pace, gets 408 (RFC 9110 §15.5.9).
- A reader that does not keep the pace is cut off; waitress alone would wait for it for ever.
- After a refusal the rest of the body is read and dropped for a few seconds: to close at once would reset the
  connection, and the client would report that instead of our sentence (RFC 9112 §9.6).
"""

from __future__ import annotations

import socket as sockets
from collections.abc import Callable
from io import BytesIO
from typing import Any

from waitress.adjustments import Adjustments
from waitress.buffers import ReadOnlyFileBasedBuffer
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask

from gatehouse.core.errors import TooSlow
from gatehouse.web.reception import Limits, RequestParser, as_refusal

#: Larger pieces of an answer are kept as they are, instead of being copied into a buffer of waitress's, which
#: would spill into the system's folder for temporary files.
_LARGE_PIECE = 64 * 1024
_SEND_PIECE = 256 * 1024


class ProblemTask(ErrorTask):  # type: ignore[misc]  # waitress ships no types
    """Answers a request that could not be taken."""

    def execute(self) -> None:
        """Send the refusal, and see to it that the client can read it."""
        self.request.error = as_refusal(self.request.error)
        self.channel.lingers = True
        super().execute()


class _Pace:
    """How many bytes came or went in the present span, and whether that is enough."""

    def __init__(self, now: float, count: int) -> None:
        self.began = now
        self._span_began = now
        self._span_count = count

    def too_slow(self, now: float, count: int, limits: Limits) -> bool:
        elapsed = now - self._span_began
        if elapsed < limits.pace_seconds:
            return False
        enough = count - self._span_count >= limits.pace_rate * elapsed
        self._span_began, self._span_count = now, count
        return not enough


class Channel(HTTPChannel):  # type: ignore[misc]  # waitress ships no types
    """A connection with time limits."""

    parser_class = RequestParser
    error_task_class = ProblemTask
    #: Set by a refusal: what still comes is to be dropped before the connection closes.
    lingers = False
    request: Any = None
    socket: Any
    sendbuf_len: int

    def __init__(
        self,
        server: TcpWSGIServer,
        sock: sockets.socket,
        address: tuple[str, int],
        adjustments: Adjustments,
        map: dict[int, Any] | None = None,  # noqa: A002 - waitress calls it so
    ) -> None:
        self._limits: Limits = adjustments.limits
        self._clock: Callable[[], float] = adjustments.clock
        #: Since when the client owes us a request's head; None while the debt is ours.
        self._waiting_since: float | None = self._clock()
        self._lingers_until: float | None = None
        self._sending: _Pace | None = None
        self._reading: _Pace | None = None
        self._read_request: Any = None
        self._sent = 0
        super().__init__(server, sock, address, adjustments, map=map)
        # What the socket does not take of a piece is read again; a socket's whole buffer would be megabytes.
        self.sendbuf_len = min(self.sendbuf_len, _SEND_PIECE)

    # --- on the loop, once a second -----------------------------------------------------------------------------

    def keep_time(self, *, crowded: bool) -> None:
        """End this connection if it takes too long. `crowded`: be strict with those who have sent nothing yet."""
        now = self._clock()
        if self._lingers_until is not None:
            if now >= self._lingers_until:
                self.handle_close()
        elif self.total_outbufs_len:
            self._time_reader(now)
        else:
            self._sending = None
            with self.requests_lock:
                self._time_sender(now, crowded=crowded)

    def _time_reader(self, now: float) -> None:
        self._waiting_since = None
        if self._sending is None:
            self._sending = _Pace(now, self._sent)
        elif self._sending.too_slow(now, self._sent, self._limits):
            self.lingers = False
            # Not `will_close`: that waits until the socket takes bytes, which this one may never do again.
            self.handle_close()

    def _time_sender(self, now: float, *, crowded: bool) -> None:
        request = self.request
        if self.requests:
            # Work is under way, which is not the client's slowness; its next request waits for it.
            self._waiting_since = self._reading = None
        elif request is not None and request.headers_finished:
            self._time_body(now, request)
        elif self._waiting_since is None:
            self._waiting_since = now
        elif now - self._waiting_since >= self._limits.head_seconds / (10 if crowded else 1):
            if request is None or not request.header_plus:
                self.handle_close()
            else:
                self._refuse_late(f"The request's head did not come within {self._limits.head_seconds:g} seconds.")

    def _time_body(self, now: float, request: RequestParser) -> None:
        count = request.body_bytes_received
        if self._reading is None or self._read_request is not request:
            self._reading, self._read_request = _Pace(now, count), request
        elif self._reading.too_slow(now, count, self._limits):
            self._refuse_late(f"The request came slower than {self._limits.pace_rate} bytes a second.")
        elif now - self._reading.began >= self._limits.body_seconds:
            self._refuse_late(f"The request was not complete after {self._limits.body_seconds:g} seconds.")

    def _refuse_late(self, sentence: str) -> None:
        # The caller holds the lock, and no other request of this connection is under way.
        request, self.request = self.request, None
        request.refuse(TooSlow(sentence))
        self.requests.append(request)
        self.server.add_task(self)

    # --- what waitress calls ------------------------------------------------------------------------------------

    def readable(self) -> bool:
        """Whether the loop should wait for bytes."""
        if self.socket is None:
            # `keep_time` closed it in this very turn. Its descriptor must not be waited for: the connection that
            # is accepted next gets the same number, and would be closed for the fault that is found.
            return False
        return self._lingers_until is not None or bool(super().readable())

    def writable(self) -> bool:
        """Whether the loop should wait until the socket takes bytes."""
        return self.socket is not None and self._lingers_until is None and bool(super().writable())

    def handle_read(self) -> None:
        """Bytes have come."""
        if self._lingers_until is None:
            super().handle_read()
            return
        try:
            # An empty answer closes the connection; anything else is dropped.
            self.recv(self.adj.recv_bytes)
        except OSError:
            self.handle_close()

    def handle_close(self) -> None:
        """Close, at once or after the client has had time to read a refusal."""
        if self.lingers and self._lingers_until is None and self._half_close():
            return
        self._lingers_until = None
        self.lingers = False
        request = self.request
        if request is not None:
            # A body that was cut short gives its room back.
            request.close()
        super().handle_close()

    def _half_close(self) -> bool:
        if self.socket is None or not self.connected or self.total_outbufs_len:
            return False
        try:
            self.socket.shutdown(sockets.SHUT_WR)
        except OSError:
            return False
        self._lingers_until = self._clock() + self._limits.linger_seconds
        self.will_close = False
        return True

    def send(self, data: bytes, do_close: bool = True) -> int:  # noqa: FBT001, FBT002 - waitress's signature
        """Give bytes to the socket; how many it took."""
        count: int = super().send(data, do_close=do_close)
        self._sent += count
        return count

    def write_soon(self, data: bytes | ReadOnlyFileBasedBuffer) -> int:
        """Take a piece of an answer."""
        if isinstance(data, bytes) and len(data) > _LARGE_PIECE:
            piece = ReadOnlyFileBasedBuffer(BytesIO(data))
            piece.prepare()
            return int(super().write_soon(piece))
        return int(super().write_soon(data))

    def service(self) -> None:
        """Answer the oldest request, in a thread."""
        # Before and not after: the loop may look in as soon as the request is off the list, and a time from before
        # the work would count the work as the client's.
        self._waiting_since = None
        super().service()
