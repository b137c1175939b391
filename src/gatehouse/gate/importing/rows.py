"""A row of a list of targets: path, SHA-256, length; from CSV or from JSON lines, and nothing but those.

Rules kept here: a row is a line, so that what is refused can be found; whatever is not exactly a target by the
grammar of the contract is refused with the reason, never mended (no upper-case digest, no sign, no space).
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, Final

from gatehouse.core.errors import CallerError
from gatehouse.core.names import InvalidName, parse_target

FIELDS: Final = ("path", "sha256", "length")
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
# Below 2 to the power of 53, so that no client's numbers round it.
_LENGTH = re.compile(r"0|[1-9][0-9]{0,14}", re.ASCII)
_BOM = b"\xef\xbb\xbf"
_SHOWN = 100

#: A row: path, digest in hexadecimal, length in bytes.
Row = tuple[str, str, int]
Parse = Callable[[bytes], Row]


class ListFormat(StrEnum):
    """How a list is written."""

    CSV = "csv"
    JSONL = "jsonl"


class RefusedRow(Exception):
    """A line is not a target; the text says why."""


class BadList(CallerError):
    """A list cannot be read as one of targets at all."""

    code = "bad-list"


def csv_parser(header: bytes) -> Parse:
    """What parses the lines of a CSV file with this first line.

    Raises:
        BadList: the columns are not path, sha256 and length, in any order.
    """
    names = _cells(header.removeprefix(_BOM))
    if sorted(names) != sorted(FIELDS):
        shown = ",".join(names)[:_SHOWN]
        raise BadList(f"The first line must name the columns path, sha256 and length, and not {shown!r}.")
    path, sha256, length = map(names.index, FIELDS)

    def parse(line: bytes) -> Row:
        cells = _cells(line)
        if len(cells) != len(FIELDS):
            raise RefusedRow(f"it has {len(cells)} columns and not three")
        return _checked(cells[path], cells[sha256], cells[length])

    return parse


def parse_json(line: bytes) -> Row:
    """The row in a line of JSON: an object of path, sha256 and length.

    Raises:
        RefusedRow: it is something else.
    """
    try:
        value = json.loads(line, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise RefusedRow("it is not JSON") from error
    if not isinstance(value, dict) or value.keys() != set(FIELDS):
        raise RefusedRow("it is not an object of path, sha256 and length alone")
    path, sha256, length = (value[name] for name in FIELDS)
    if not isinstance(path, str) or not isinstance(sha256, str) or type(length) is not int:
        raise RefusedRow("path and sha256 must be texts, and length a whole number")
    return _checked(path, sha256, str(length) if abs(length) < 1 << 63 else "too large")


def _checked(path: str, sha256: str, length: str) -> Row:
    try:
        parse_target(path)
    except InvalidName as error:
        raise RefusedRow(error.message) from error
    if not _SHA256.fullmatch(sha256):
        raise RefusedRow(f"{sha256[:_SHOWN]!r} is not a SHA-256 in 64 lower-case hexadecimal digits")
    if not _LENGTH.fullmatch(length):
        raise RefusedRow(f"{length[:_SHOWN]!r} is not a length in bytes, below ten to the power of 15")
    return path, sha256, int(length)


def _cells(line: bytes) -> Sequence[str]:
    try:
        text = line.removesuffix(b"\r").decode()
    except UnicodeDecodeError as error:
        raise RefusedRow("it is not text in UTF-8") from error
    if '"' not in text:
        return text.split(",")
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error as error:
        raise RefusedRow(f"it is not a line of CSV: {error}") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found
