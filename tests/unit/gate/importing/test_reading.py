"""Lists of targets read: what is a row, what is refused and why, and what is no list at all."""

from __future__ import annotations

import gzip
import hashlib
import io
import json

import pytest

from gatehouse.core.errors import OperatorError
from gatehouse.gate.importing.reading import Refusal, TargetList, read_list
from gatehouse.gate.importing.rows import BadList, ListFormat, Row

DIGEST = "ab" * 32
PATHS = ("files/example/one.zip", "files/example/two.zip", "simple/example/index.html")


def csv(*rows: str, head: str = "path,sha256,length") -> bytes:
    return "".join(f"{line}\n" for line in (head, *rows)).encode()


def row(path: str, sha256: str = DIGEST, length: object = 7) -> str:
    return f"{path},{sha256},{length}"


def read(data: bytes, format: str = "csv") -> tuple[list[tuple[int, Row]], list[Refusal], str]:  # noqa: A002 -- the option's name
    """Rows, refusals, and the digest of what was read."""
    refused: list[Refusal] = []
    digest = hashlib.sha256()
    done: list[int] = []
    source = TargetList(name="list", stream=io.BytesIO(data), format=ListFormat(format), size=len(data))
    rows = list(read_list(source, digest=digest, refuse=refused.append, step=done.append))
    assert done == sorted(done)
    assert all(number <= len(data) for number in done)
    return rows, refused, digest.hexdigest()


def lines_of(rows: list[dict[str, object]]) -> bytes:
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


@pytest.mark.parametrize(
    ("data", "kind", "first"),
    [
        (csv(*map(row, PATHS)), "csv", 2),
        (csv(*(f'7,"{path}",{DIGEST}' for path in PATHS), head="length,path,sha256"), "csv", 2),
        (b"\xef\xbb\xbf" + csv(*map(row, PATHS)).replace(b"\n", b"\r\n"), "csv", 2),
        (gzip.compress(csv(*map(row, PATHS))), "csv", 2),
        (lines_of([{"length": 7, "path": path, "sha256": DIGEST} for path in PATHS]), "jsonl", 1),
    ],
)
def test_all_ways_to_write_a_list_say_the_same(data: bytes, kind: str, first: int) -> None:
    rows, refused, _ = read(data, kind)
    assert rows == [(first + number, (path, DIGEST, 7)) for number, path in enumerate(PATHS)]
    assert refused == []


def test_lines_are_found_wherever_the_blocks_of_a_stream_end() -> None:
    paths = [f"files/example/example-{number}.zip" for number in range(30_000)]
    data = csv(*map(row, paths))
    rows, refused, digest = read(data)
    assert [path for _, (path, _, _) in rows] == paths
    assert digest == hashlib.sha256(data).hexdigest() == read(gzip.compress(data, 1))[2]
    assert refused == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (row("files/Example/a.zip"), "Invalid target path"),
        (row("files/example/../a.zip"), "Invalid target path"),
        (row('"files/example/a"".zip"'), "Invalid filename"),
        (row("simple/example/index.xml"), "Invalid target path"),
        (row(PATHS[0], DIGEST.upper()), "is not a SHA-256"),
        (row(PATHS[0], DIGEST[:-1]), "is not a SHA-256"),
        (row(PATHS[0], DIGEST, -1), "is not a length"),
        (row(PATHS[0], DIGEST, "007"), "is not a length"),
        (row(PATHS[0], DIGEST, "\u0667"), "is not a length"),
        (row(PATHS[0], DIGEST, 10**15), "is not a length"),
        (row(PATHS[0]) + ",more", "it has 4 columns and not three"),
        (f'"{row(PATHS[0])}', "it is not a line of CSV"),
        ("", "it has 1 columns"),
        (" " + row(PATHS[0]), "Invalid target path"),
        ("x" * 70_000, "it is longer than 65536 bytes"),
        ("x" * 3_000_000, "it is longer than 65536 bytes"),
    ],
)
def test_a_row_that_is_not_exactly_a_target_is_refused_with_its_line_and_reason(line: str, reason: str) -> None:
    rows, (refusal,), _ = read(csv(row(PATHS[1]), line, row(PATHS[2])))
    assert [number for number, _ in rows] == [2, 4]
    assert (refusal.list, refusal.line) == ("list", 3)
    assert reason in refusal.reason
    assert len(refusal.reason) < 500


@pytest.mark.parametrize(
    "line",
    [
        "null",
        "[]",
        "{",
        "[" * 50_000,
        '{"path": "files/a/a.zip", "sha256": "DIGEST"}',
        '{"path": "files/a/a.zip", "sha256": "DIGEST", "length": 1, "custom": 1}',
        '{"path": "files/a/b.zip", "path": "files/a/a.zip", "sha256": "DIGEST", "length": 1}',
        '{"path": "files/a/a.zip", "sha256": "DIGEST", "length": "1"}',
        '{"path": "files/a/a.zip", "sha256": "DIGEST", "length": true}',
        '{"path": "files/a/a.zip", "sha256": "DIGEST", "length": 1.0}',
        f'{{"path": "files/a/a.zip", "sha256": "DIGEST", "length": 1{"0" * 4000}}}',
        '{"path": "files/a/\\ud800.zip", "sha256": "DIGEST", "length": 1}',
    ],
)
def test_a_line_of_json_that_is_not_exactly_a_target_is_refused(line: str) -> None:
    rows, refused, _ = read(line.replace("DIGEST", DIGEST).encode() + b"\n", "jsonl")
    assert (rows, len(refused)) == ([], 1)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is empty"),
        (b"path,sha256\n", "must name the columns"),
        (csv(head="path,sha256,length,custom"), "must name the columns"),
        (b"\xff\xfe\n", "not text in UTF-8"),
        (gzip.compress(csv(*map(row, PATHS)))[:-9], "damaged or was cut off"),
        (gzip.compress(csv(*map(row, PATHS)))[:40] + b"\0" * 40, "damaged or was cut off"),
    ],
)
def test_what_is_no_list_ends_in_one_error(data: bytes, message: str) -> None:
    with pytest.raises(BadList, match=f"^list: .*{message}"):
        read(data)


def test_a_last_line_without_its_end_may_be_cut_off_and_is_refused() -> None:
    rows, (refusal,), _ = read(csv(row(PATHS[0]), row(PATHS[1]))[:-1])
    assert [path for _, (path, _, _) in rows] == [PATHS[0]]
    assert "was it cut off?" in refusal.reason


def test_a_stream_that_cannot_be_read_is_the_operators_affair() -> None:
    class Broken(io.BytesIO):
        def read(self, _size: int | None = -1) -> bytes:
            raise OSError(5, "Input/output error")

    source = TargetList(name="list", stream=Broken(), format=ListFormat.CSV, size=0)
    with pytest.raises(OperatorError, match="Cannot read list: Input/output error"):
        list(read_list(source, digest=hashlib.sha256(), refuse=print, step=print))
