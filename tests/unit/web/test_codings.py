"""`Accept-Encoding` as RFC 9110 §12.5.3 and §12.4.2 have it, and nothing for what no grammar covers."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from webob import Request as WebObRequest

from gatehouse.web.codings import choose_coding, parse
from gatehouse.web.problems import NotAcceptable
from gatehouse.web.request import Request


def choose(header: str | None, **headers: str) -> str | None:
    request = WebObRequest.blank("/", headers=headers)
    if header is not None:
        request.headers["Accept-Encoding"] = header
    return choose_coding(cast("Request", request))


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        # Who does not ask gets the bytes as they are: python-tuf, and pip for files.
        (None, None),
        ("", None),
        ("identity", None),
        # What clients send: pip, uv, curl, browsers.
        ("gzip, deflate", "gzip"),
        ("gzip, br, zstd, deflate", "br"),
        ("deflate, gzip, br, zstd", "br"),
        ("gzip", "gzip"),
        ("GZip", "gzip"),
        ("x-gzip", "gzip"),
        ("deflate", None),
        # Weights, and our order among equals.
        ("br;q=0.5, gzip", "gzip"),
        ("br;q=0.5, gzip;q=0.501", "gzip"),
        ("br;q=0.001", "br"),
        ("br ;\tq=1.000 , gzip ;q=1", "br"),
        ("br;Q=0.3,gzip;q=0.4", "gzip"),
        ("gzip;q=0.5, identity", None),
        ("gzip;q=0.5, identity;q=0.5", "gzip"),
        ("gzip;q=0", None),
        ("gzip;q=0.000, br;q=0.", None),
        # "*" is for what is not named.
        ("*", "br"),
        ("br;q=0, *", "gzip"),
        ("*;q=0.1, gzip;q=0.2", "gzip"),
        ("*;q=0.5, identity", None),
        ("gzip, *;q=0", "gzip"),
        # Without a coding only where it is not excluded.
        ("identity;q=0, gzip;q=0.1", "gzip"),
        ("identity;q=0, *", "br"),
        ("*;q=0, identity;q=0.1", None),
        # Empty elements are passed over.
        (",, gzip ,,", "gzip"),
    ],
)
def test_the_coding_is_the_one_that_the_client_likes_best(header: str | None, coding: str | None) -> None:
    assert choose(header) == coding


@pytest.mark.parametrize("header", ["identity;q=0", "*;q=0", "identity;q=0, gzip;q=0, br;q=0", "deflate, *;q=0"])
def test_who_excludes_all_that_we_have_is_told_so(header: str) -> None:
    with pytest.raises(NotAcceptable):
        choose(header)


@pytest.mark.parametrize(
    "header",
    [
        "gzip;q=2",
        "gzip;q=-1",
        "gzip;q=0.1234",
        "gzip;q=1.001",
        "gzip;q=",
        "gzip;q=nan",
        "gzip;level=9",
        "gzip;q=1;q=0",
        "gzip br",
        "gzip;",
        ";q=1",
        "gzip, (br)",
        "gzip, gzip;q=0",
        "gzip, x-gzip;q=0.5",
        "identity;q=0, gzip;q=x",
        "gzip\u00a0",
        "\u0661gzip",
        "gzip," * 400,
    ],
)
def test_what_is_not_well_formed_is_answered_as_if_it_were_not_there(header: str) -> None:
    assert parse(header) == {}
    if header.isascii():
        assert choose(header) is None


def test_a_range_is_one_of_the_bytes_themselves() -> None:
    assert choose("br", Range="bytes=0-9") is None
    assert choose("br, identity;q=0", Range="bytes=0-9") == "br"


@given(st.text(max_size=60))
def test_no_header_breaks_the_parser(header: str) -> None:
    weights = parse(header)
    assert all(0 <= weight <= 1 for weight in weights.values())


_WEIGHTS = st.integers(0, 1000).map(lambda n: n / 1000)


@given(st.dictionaries(st.sampled_from(["br", "gzip", "identity", "*", "zstd"]), _WEIGHTS, min_size=1))
def test_nothing_that_a_client_excludes_is_ever_chosen(weights: dict[str, float]) -> None:
    header = ", ".join(f"{name};q={weight:.3f}" for name, weight in weights.items())

    def weight_of(coding: str) -> float | None:
        return weights.get(coding, weights.get("*"))

    try:
        chosen = choose(header)
    except NotAcceptable:
        assert weight_of("identity") == 0
        assert not any(weight_of(coding) for coding in ("br", "gzip"))
    else:
        mine = weight_of(chosen or "identity")
        assert mine != 0
        best = max(weight_of(coding) or 0 for coding in ("br", "gzip"))
        assert chosen is None or mine == best
