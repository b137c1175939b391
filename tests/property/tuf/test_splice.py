"""A bin that is spliced is the bin that would be rendered from all its targets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.core.errors import InternalError
from gatehouse.core.names import InvalidName
from gatehouse.tuf.canonical import bin_signed, envelope, target_entry
from gatehouse.tuf.model import RawTarget, Target
from gatehouse.tuf.render import entries
from gatehouse.tuf.splice import body_of, splice
from tests.support.tuf_repository import START, target

# Few characters, so that paths are prefixes of one another and names sort before and after the slash.
paths = st.from_regex(r"(files|files|files)/[a-b-]{1,2}/[a-bA-B+.~!_-]{1,3}", fullmatch=True)
targets = st.builds(
    Target,
    path=paths,
    sha256=st.binary(min_size=32, max_size=32).map(bytes.hex),
    length=st.integers(0, 2**53),
)


def joined(items: dict[str, Target]) -> bytes:
    return b",".join(target_entry(items[path]) for path in sorted(items))


@given(st.dictionaries(paths, targets, max_size=12), st.dictionaries(paths, st.none() | targets, max_size=8))
def test_splicing_is_rendering_from_scratch(before: dict[str, Target], changes: dict[str, Target | None]) -> None:
    held = {path: Target(path=path, sha256=item.sha256, length=item.length) for path, item in before.items()}
    wanted = {
        path: item and Target(path=path, sha256=item.sha256, length=item.length) for path, item in changes.items()
    }
    after = {path: item for path, item in (held | wanted).items() if item is not None}

    assert splice(joined(held), wanted) == joined(after)


@given(st.dictionaries(paths, targets, max_size=12))
def test_rows_render_to_the_same_entries_as_values(items: dict[str, Target]) -> None:
    held = {path: Target(path=path, sha256=item.sha256, length=item.length) for path, item in items.items()}
    rows = [(path, bytes.fromhex(held[path].sha256), held[path].length) for path in sorted(held)]

    assert entries(rows) == joined(held)
    data = envelope(bin_signed(3, START, entries(rows)), [("00", "00")])
    assert body_of(data) == entries(rows)


DIGEST = bytes(32)


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ([("files/a/a", DIGEST, 1), ('files/a/b"', DIGEST, 1)], InvalidName, r"'files/a/b\"' has characters"),
        ([("files/a/a", DIGEST, 1), ("files/a/é", DIGEST, 1)], InvalidName, "has characters outside"),
        ([("files/a/\ud800", DIGEST, 1)], InvalidName, "has characters outside"),
        ([("", DIGEST, 1)], InvalidName, "has characters outside"),
        ([("files/b/b", DIGEST, 1), ("files/a/a", DIGEST, 1)], InternalError, "not in order"),
        ([("files/a/a", DIGEST, 1), ("files/a/a", DIGEST, 1)], InternalError, "stands twice"),
        ([("files/a/a", DIGEST[1:], 1)], InternalError, "no SHA-256"),
        ([("files/a/a", DIGEST, -1)], InternalError, "negative length"),
        ([("files/a/a", DIGEST, "1}")], InternalError, "negative length"),
        # A comma is what joins the columns.
        ([("files/a/a,files/a/b", DIGEST, 1)], InternalError, "no SHA-256"),
        ([("files/a/a,files/a/b", DIGEST * 2, 1)], InternalError, "negative length"),
        ([("files/a/a", DIGEST, "1,2")], InternalError, "negative length"),
        ([("files/a/a", DIGEST, ""), ("files/a/b", DIGEST, 2)], InternalError, "negative length"),
        ([("files/a/a,files/a/b", DIGEST * 2, "1,2"), (",", b"", "3")], InvalidName, "has characters outside"),
    ],
)
def test_rows_that_would_not_be_canonical_are_refused(
    rows: list[RawTarget], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        entries(rows)


def test_a_file_that_is_no_bin_has_no_entries() -> None:
    for data in (b"", b"{}", b'},"version":1}"targets":{'):
        with pytest.raises(InternalError, match="not those of a bin"):
            body_of(data)


def test_a_change_outside_the_grammar_is_refused() -> None:
    with pytest.raises(InvalidName, match="grammar"):
        splice(b"", {'files/a/"': target('files/a/"')})
