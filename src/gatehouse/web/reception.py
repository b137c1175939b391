"""How a request is received: limits on its head and body, strict framing, and room on disk.

Built on waitress's parser, which reads on the server's one loop while all threads are free for work.

- A body over its limit is refused while it arrives: by its `Content-Length` without reading on, or when a chunk
  exceeds it. Large bodies are taken at the upload address alone, and only with an `Authorization` header.
- A body beyond 64 KiB lies in a nameless file in the folder given, never in memory; all of them together
  have a limit, so that strangers cannot fill the disk.
- What two parsers could frame differently is refused (RFC 9112 §6.1: both lengths, chunks in HTTP/1.0).
"""

from __future__ import annotations

import re
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from threading import Lock
from typing import IO, Any

from waitress.adjustments import Adjustments
from waitress.buffers import OverflowableBuffer, TempfileBasedBuffer
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.utilities import Error

from gatehouse.core.errors import (
    CallerError,
    GatehouseError,
    InternalError,
    NotAuthenticated,
    StoreError,
    TooLarge,
)
from gatehouse.web.problems import Busy, HeadersTooLarge, describe

_KIBIBYTE = 1024
#: A request's line and headers together, in bytes: tokens are 11 KiB at most.
MAX_HEAD = 32 * _KIBIBYTE
#: What any other address than the upload takes as a body, in bytes.
MAX_SMALL_BODY = 128 * _KIBIBYTE
#: What of a body stays in memory.
MAX_IN_MEMORY = 64 * _KIBIBYTE
_MAX_CHUNK_LINE = 512
_MAX_TRAILER = 4 * _KIBIBYTE
# Each chunk costs the loop some microseconds, however small it is. A body may cost this much on the wire for its
# length, and a little more to begin with: chunks of 30 bytes pass.
_CHUNK_OVERHEAD = 1.25
_CHUNK_ALLOWANCE = 4 * _KIBIBYTE
# waitress copies the rest of what it was given for each chunk in it.
_PIECE = 4 * _KIBIBYTE
# waitress's pattern for a header takes a time quadratic in the blanks after the colon: 5 s for 32 KiB, with the
# loop standing still. Folded lines become such blanks. RFC 9112 §5.2 lets a server refuse folding, and no header
# has control characters (RFC 9110 §5.5).
_HOSTILE_HEAD = re.compile(rb"[ \t]{100}|\r\n[ \t]|[^\t\r\n\x20-\x7e\x80-\xff]")
_UPLOAD_PATHS = frozenset({"/legacy", "/legacy/"})
_VERSIONS = frozenset({"1.0", "1.1"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What the server takes. Bytes and seconds.

    `head_seconds` is the time from the connection, or from the last answer, to the end of the next request's
    head. `pace_seconds` is how long a body (or a reader of an answer) may take before it must keep up
    `pace_rate` bytes a second, measured anew over each such span. `body_seconds` is the most a body may take.
    """

    max_body: int
    spool: int
    temp_dir: Path
    head_seconds: float = 30.0
    pace_seconds: float = 30.0
    pace_rate: int = 1024
    body_seconds: float = 3600.0
    linger_seconds: float = 10.0
    connections: int = 1000

    def body(self, method: str, path: str) -> int:
        """The largest body for this method and path, in bytes."""
        return self.max_body if method == "POST" and path in _UPLOAD_PATHS else MAX_SMALL_BODY


class Spool:
    """Counts the bytes of all bodies that are on their way or being worked on."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._lock = Lock()

    def take(self, count: int) -> None:
        """Count bytes in, or out with a negative number."""
        with self._lock:
            self._used += count

    @property
    def used(self) -> int:
        """How many bytes lie here."""
        return self._used

    @property
    def full(self) -> bool:
        """Whether no new body should be begun."""
        return self._used > self._limit

    @property
    def overflowing(self) -> bool:
        """Whether even bodies that are on their way must stop."""
        return self._used > 2 * self._limit


class Refusal(Error):  # type: ignore[misc]  # waitress ships no types
    """A fault as the server's own loop answers it, in the same form as `web.problems` does."""

    def __init__(self, error: GatehouseError) -> None:
        super().__init__(error.message)
        self.problem = describe(error)
        self.code = self.problem.status

    def to_response(self, _ident: str | None = None) -> tuple[str, list[tuple[str, str]], bytes]:
        """Status line, headers and body, as waitress sends them."""
        headers = [
            ("Content-Type", "application/problem+json"),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            *self.problem.headers,
        ]
        return self.problem.status_line(with_sentence=True), headers, self.problem.body()


class RequestParser(HTTPRequestParser):  # type: ignore[misc]  # waitress ships no types
    """Collects one request within the limits. After an error it takes no more bytes."""

    # waitress's logging reads it even where no request line could be parsed.
    path = ""
    command = ""
    error: Any = None
    body_rcv: Any = None
    headers_finished: bool = False

    def __init__(self, adjustments: Adjustments) -> None:
        super().__init__(adjustments)
        self._limits: Limits = adjustments.limits
        self._spool: Spool = adjustments.spool

    def parse_header(self, header_plus: bytes) -> None:
        """Parse the head, and refuse what frames the body in two ways."""
        if _HOSTILE_HEAD.search(header_plus):
            raise ParsingError("hostile head")
        try:
            super().parse_header(header_plus)
        except ValueError as error:  # a URL that urllib refuses, a length of thousands of digits
            raise ParsingError("malformed") from error
        both = self.chunked and "CONTENT_LENGTH" in self.headers
        if self.version not in _VERSIONS or "TRANSFER_ENCODING" in self.headers or both:
            raise ParsingError("ambiguous framing")
        if self.body_rcv is not None:
            self.body_rcv.buf = _BodyBuffer(self._limits.temp_dir, self._spool)

    def received(self, data: bytes) -> int:
        """Take bytes; how many of them were ours."""
        consumed = 0
        if not self.headers_finished and not self.header_plus:
            # RFC 9112 §2.2: empty lines before a request are passed over, all at once: each would cost a parser.
            consumed = len(data) - len(data.lstrip(b"\r\n"))
        while consumed < len(data) and not self.completed:
            piece = data[consumed : consumed + _PIECE] if self.chunked else data[consumed:]
            consumed += self._take(piece)
        # What follows a refused head is its body, not another request.
        return consumed if self.error is None else len(data)

    def _take(self, piece: bytes) -> int:
        try:
            taken: int = super().received(piece)
        except OSError:
            # The disk is full or worse; `refuse` logs what is the matter.
            self.refuse(StoreError("A request's body cannot be written to disk."))
            return len(piece)
        if self.error is not None:
            self.refuse(_translated(self.error))
        elif self.headers_finished:
            fault = self._fault()
            if fault is not None:
                self.refuse(fault)
        return taken

    def refuse(self, error: GatehouseError) -> None:
        """End this request with an error, and let go of what was received."""
        self.error = Refusal(error)
        self.completed = True
        self.expect_continue = False
        self.close()

    def _fault(self) -> GatehouseError | None:
        if self.body_rcv is None:
            return None
        limit = self._limits.body(self.command, self.path)
        announced, arrived = self.content_length, len(self.body_rcv)
        if max(announced, arrived) > limit:
            return TooLarge(f"The request is larger than the {limit} bytes that this index takes here.")
        if max(announced, arrived) > MAX_SMALL_BODY and "AUTHORIZATION" not in self.headers:
            return NotAuthenticated(
                "An upload needs a token: use __token__ as the user name and an API token as the password."
            )
        begins = arrived == 0
        if self._spool.overflowing or (begins and self._spool.full):
            return Busy("The index is taking as many uploads as it can; try again in a minute.")
        if self.chunked and (
            len(self.body_rcv.control_line) > _MAX_CHUNK_LINE
            or len(self.body_rcv.trailer) > _MAX_TRAILER
            or self.body_bytes_received > _CHUNK_OVERHEAD * arrived + _CHUNK_ALLOWANCE
        ):
            return CallerError("The chunks of the request are malformed, or far too small.")
        return None


def _translated(error: Error) -> GatehouseError:
    """The refusals of waitress in our words: its sentences repeat what the stranger sent."""
    match error.code:
        case HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
            return HeadersTooLarge(f"The request's headers are longer than {MAX_HEAD} bytes.")
        case HTTPStatus.INTERNAL_SERVER_ERROR:
            return InternalError("A request could not be answered.")
        case HTTPStatus.NOT_IMPLEMENTED:
            return CallerError("Of the transfer codings only 'chunked' is taken.")
    return CallerError("The request is not valid HTTP.")


def as_refusal(error: Error) -> Refusal:
    """Any error of waitress's in our form."""
    return error if isinstance(error, Refusal) else Refusal(_translated(error))


class _BodyFile(TempfileBasedBuffer):  # type: ignore[misc]  # waitress ships no types
    """A body in a nameless file in our folder: it is gone when it is closed, however the process ends."""

    def __init__(self, folder: Path, from_buffer: OverflowableBuffer) -> None:
        self._folder = folder
        super().__init__(from_buffer)

    def newfile(self) -> IO[bytes]:
        return tempfile.TemporaryFile("w+b", dir=self._folder)


class _BodyBuffer(OverflowableBuffer):  # type: ignore[misc]  # waitress ships no types
    buf: Any = None

    def __init__(self, folder: Path, spool: Spool) -> None:
        super().__init__(MAX_IN_MEMORY)
        self._folder = folder
        self._spool = spool
        self._counted = 0

    def append(self, data: bytes) -> None:
        self._counted += len(data)
        self._spool.take(len(data))
        super().append(data)

    def close(self) -> None:
        self._spool.take(-self._counted)
        self._counted = 0
        with suppress(OSError):
            # What could not be written before cannot be now; the file is gone either way.
            super().close()

    def _set_large_buffer(self) -> None:
        small = self.buf
        self.buf = _BodyFile(self._folder, small)
        if small is not None:
            small.close()
        self.overflowed = True
