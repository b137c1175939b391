"""The form reader: whatever bytes come, it ends in a form or in one of its two errors."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.core.errors import InvalidUpload, TooLarge
from gatehouse.web.multipart import Form, FormLimits, read_form
from tests.support.web_house import BOUNDARY, form

TYPE = f"multipart/form-data; boundary={BOUNDARY}"
LIMITS = FormLimits(content=1000, field=100, fields=400, parts=10)

names = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters='"\\%'), min_size=1).filter(
    lambda name: name not in {"content", "gpg_signature"}
)
values = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


def read(body: bytes, chunk: int = 65536, limits: FormLimits = LIMITS) -> tuple[Form, bytes]:
    stream, content = io.BytesIO(body), bytearray()
    return (
        read_form(lambda size: stream.read(min(size, chunk)), TYPE, limits=limits, write=content.extend),
        bytes(content),
    )


@given(
    st.lists(st.tuples(names, values), max_size=5),
    st.binary(max_size=900),
    st.integers(min_value=1, max_value=300),
)
def test_what_was_sent_is_what_is_read_however_it_is_cut(
    fields: list[tuple[str, str]], content: bytes, chunk: int
) -> None:
    body = form([*fields, ("content", content, "a-1.0.tar.gz")])
    result, received = read(body, chunk, FormLimits(content=1000))
    assert received == content
    assert result.filename == "a-1.0.tar.gz"
    expected: dict[str, list[str]] = {}
    for name, value in fields:
        expected.setdefault(name, []).append(value)
    assert result.fields == expected


@given(st.binary(max_size=500), st.integers(min_value=0), st.integers(min_value=1, max_value=64))
def test_damage_anywhere_ends_in_a_form_or_in_a_refusal(damage: bytes, place: int, chunk: int) -> None:
    body = form([("name", "x"), ("content", b"data", "f"), ("version", "1")])
    place %= len(body)
    try:
        result, _ = read(body[:place] + damage + body[place + len(damage) :], chunk)
    except (InvalidUpload, TooLarge):
        return
    assert all(name for name in result.fields)


@given(st.data())
def test_a_form_cut_short_anywhere_is_refused(data: st.DataObject) -> None:
    body = form([("name", "x"), ("content", b"data", "f")])
    # Without its last line break a form is still whole.
    length = data.draw(st.integers(min_value=0, max_value=len(body) - 3))
    with pytest.raises(InvalidUpload, match="cut short"):
        read(body[:length])


def test_nothing_is_read_on_after_the_file_is_too_large() -> None:
    asked = 0

    def endless(size: int) -> bytes:
        nonlocal asked
        asked += 1
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="content"; filename="f"\r\n\r\n'
        return head.encode() if asked == 1 else b"x" * size

    with pytest.raises(TooLarge, match="1000 bytes"):
        read_form(endless, TYPE, limits=LIMITS, write=lambda _chunk: None)
    assert asked == 2


def test_an_endless_part_header_is_refused() -> None:
    asked = 0

    def endless(size: int) -> bytes:
        nonlocal asked
        asked += 1
        assert asked < 10
        return f"--{BOUNDARY}\r\n".encode() if asked == 1 else b"x" * min(size, 4096)

    with pytest.raises(InvalidUpload):
        read_form(endless, TYPE, limits=LIMITS, write=lambda _chunk: None)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (form([("a", "x" * 100)]), None),
        (form([("a", "x" * 101)]), TooLarge),
        (form([("gpg_signature", b"x" * 101, "s")]), TooLarge),
        (form([("a", "x" * 99)] * 4), None),
        (form([("a", "x" * 99)] * 5), TooLarge),
        (form([("a", "")] * 10), None),
        (form([("a", "")] * 11), InvalidUpload),
        (form([("content", b"x" * 1000, "f")]), None),
        (form([("content", b"x" * 1001, "f")]), TooLarge),
        (form([]), None),
    ],
)
def test_each_limit_holds_to_the_byte(body: bytes, error: type[Exception] | None) -> None:
    if error is None:
        read(body)
    else:
        with pytest.raises(error):
            read(body)
