"""Lists of targets read line by line: bytes in, rows and refusals out, and a digest of all that was read.

Rules kept here: memory does not grow with a line or a list; gzip is recognised by its first bytes; a last line
without its end is refused, because a list that was cut off amid a digest or a length looks like that.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from gatehouse.core.errors import OperatorError
from gatehouse.gate.importing.rows import BadList, ListFormat, Parse, RefusedRow, Row, csv_parser, parse_json

_BLOCK_BYTES = 1 << 20
#: Far longer than a row can be, and short enough to hold.
_LONGEST_LINE = 1 << 16
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetList:
    """A list to import.

    Attributes:
        name: what people know it by.
        stream: its bytes, as they are or in gzip.
        format: how it is written.
        size: how many bytes the stream has, where that is known; else 0.
    """

    name: str
    stream: BinaryIO
    format: ListFormat
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """A row that was not imported: in which list, in which line (from 1), and why."""

    list: str
    line: int
    reason: str


def read_list(
    source: TargetList,
    *,
    digest: hashlib._Hash,
    refuse: Callable[[Refusal], None],
    step: Callable[[int], None],
) -> Iterator[tuple[int, Row]]:
    """The rows of a list, each with the number of its line.

    Args:
        source: the list.
        digest: takes in all that is read.
        refuse: is told of each line that is no row.
        step: is told how many bytes of the stream were read.

    Raises:
        BadList: it is no list of targets, or damaged.
        OperatorError: it cannot be read.
    """
    parse: Parse | None = parse_json if source.format is ListFormat.JSONL else None
    for number, line in enumerate(_lines(source, digest, step), 1):
        try:
            if parse is None:
                parse = _header(source.name, line)
                continue
            yield number, parse(_whole(line))
        except RefusedRow as error:
            refuse(Refusal(list=source.name, line=number, reason=str(error)))
    if parse is None:
        raise BadList(f"{source.name}: it is empty; a CSV file begins with the line path,sha256,length.")


def _header(name: str, line: bytes) -> Parse:
    try:
        return csv_parser(line.rstrip(b"\n"))
    except (BadList, RefusedRow) as error:
        raise BadList(f"{name}: {error}") from error


def _whole(line: bytes) -> bytes:
    """A line without its end."""
    if line.endswith(b"\n"):
        return line[:-1]
    if len(line) > _LONGEST_LINE:
        raise RefusedRow(f"it is longer than {_LONGEST_LINE} bytes")
    raise RefusedRow("the list ends amid this line: was it cut off?")


def _lines(source: TargetList, digest: hashlib._Hash, step: Callable[[int], None]) -> Iterator[bytes]:
    """Every line with its end; one that is too long is given in part, and skipped."""
    rest, too_long = b"", False
    for block in _blocks(source, step):
        digest.update(block)
        lines = (rest + block).split(b"\n")
        rest = lines.pop()
        for line in lines:
            if not too_long:
                yield line + b"\n" if len(line) <= _LONGEST_LINE else line
            too_long = False
        if len(rest) > _LONGEST_LINE:
            if not too_long:
                yield rest
            rest, too_long = b"", True
    if rest:
        yield rest


def _blocks(source: TargetList, step: Callable[[int], None]) -> Iterator[bytes]:
    try:
        head = source.stream.read(len(_GZIP))
        reader: BinaryIO = _Rejoined(head, source.stream)  # type: ignore[assignment] # it has all that gzip asks for
        stream = gzip.GzipFile(fileobj=reader) if head == _GZIP else reader
        while block := stream.read(_BLOCK_BYTES):
            yield block
            step(reader.tell())
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadList(f"{source.name}: the gzip stream is damaged or was cut off.") from error
    except OSError as error:
        raise OperatorError(f"Cannot read {source.name}: {error.strerror}.") from error


class _Rejoined:
    """A stream whose first bytes were read already: a pipe cannot go back."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self._head = head
        self._stream = stream
        self._read = 0

    def read(self, size: int = -1) -> bytes:
        data = self._head + self._stream.read(max(size - len(self._head), 0) if size >= 0 else -1)
        self._head = b""
        self._read += len(data)
        return data

    def tell(self) -> int:
        return self._read
