"""A distribution's filename says what it is; all spellings of one distribution share an identity."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.catalog.distribution import parse_distribution_filename
from gatehouse.core.errors import InvalidUpload


class TestWheels:
    def test_are_taken_apart(self) -> None:
        dist = parse_distribution_filename("Foo_Bar-1.0.post1-2a-py3.py2-none-any.whl")

        assert dist.filename == "Foo_Bar-1.0.post1-2a-py3.py2-none-any.whl"
        assert dist.kind == "bdist_wheel"
        assert dist.project == "foo-bar"
        assert dist.version == "1.0.post1"
        assert dist.build == "2a"
        assert dist.tags == ("py2-none-any", "py3-none-any")
        assert dist.python_tag == "py2.py3"
        assert dist.archive_format == "zip"
        assert dist.identity == "bdist_wheel:foo-bar:1.post1:2a:py2.py3-none-any"

    @pytest.mark.parametrize(
        "other",
        [
            "foo_bar-1.0-py3.py2-none-any.whl",
            "Foo.Bar-1.0-py2.py3-none-any.whl",
            "foo_bar-1.0.0-py2.py3-none-any.whl",
            "foo_bar-v1.0-py2.py3-none-any.whl",
            "foo_bar-1.0-py2.py3.py2-none-any.whl",
        ],
    )
    def test_of_one_build_share_an_identity(self, other: str) -> None:
        one = parse_distribution_filename("foo_bar-1.0-py2.py3-none-any.whl")

        assert parse_distribution_filename(other).identity == one.identity

    @pytest.mark.parametrize(
        "other",
        [
            "foo_bar-1.0-py3-none-any.whl",
            "foo_bar-1.0-1-py2.py3-none-any.whl",
            "foo_bar-1.1-py2.py3-none-any.whl",
            "foo_bar-1.0+local-py2.py3-none-any.whl",
            "foo_baz-1.0-py2.py3-none-any.whl",
            "foo_bar-1.0-py2.py3-abi3-any.whl",
            "foo_bar-1.0.tar.gz",
        ],
    )
    def test_of_another_build_do_not(self, other: str) -> None:
        one = parse_distribution_filename("foo_bar-1.0-py2.py3-none-any.whl")

        assert parse_distribution_filename(other).identity != one.identity


class TestSdists:
    @pytest.mark.parametrize(("ending", "archive_format"), [("tar.gz", "tar.gz"), ("zip", "zip")])
    def test_are_taken_apart(self, ending: str, archive_format: str) -> None:
        dist = parse_distribution_filename(f"foo-bar-1.0b2.{ending}")

        assert dist.kind == "sdist"
        assert dist.project == "foo-bar"
        assert dist.version == "1.0b2"
        assert dist.build == ""
        assert dist.tags == ()
        assert dist.python_tag == "source"
        assert dist.archive_format == archive_format
        assert dist.identity == "sdist:foo-bar:1b2"

    def test_keep_the_zeros_of_their_version(self) -> None:
        assert parse_distribution_filename("foo-1.0.0.tar.gz").version == "1.0.0"


@pytest.mark.parametrize(
    "filename",
    [
        "",
        "foo",
        "foo-1.0.exe",
        "foo-1.0.tar.bz2",
        "foo-1.0.egg",
        "foo-1.0-py3.egg",
        "foo-1.0.WHL",
        "foo-1.0.tgz",
        "foo.tar.gz",
        "foo-.tar.gz",
        "foo-one.tar.gz",
        "foo_-1.0.tar.gz",
        "foo-1.0.whl",
        "foo-1.0-py3-none.whl",
        "foo-x-py3-none-any.whl",
        "foo-1.0-x1-py3-none-any.whl",
        "foo__bar-1.0-py3-none-any.whl",
        "foo-1.0-py3..py2-none-any.whl",
        "-1.0-py3-none-any.whl",
        "../foo-1.0.tar.gz",
        "foo-1.0.tar.gz\n",
        "foo-1.0.tar.gz\x00",
        "föö-1.0.tar.gz",
        "foo bar-1.0.tar.gz",
        "foo-" + "1" * 200 + ".tar.gz",
    ],
)
def test_any_other_filename_is_refused(filename: str) -> None:
    with pytest.raises(InvalidUpload):
        parse_distribution_filename(filename)


@given(
    st.one_of(
        st.text(max_size=200),
        st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+!~-]{0,180}(\.whl|\.tar\.gz|\.zip)", fullmatch=True),
        st.from_regex(
            r"[a-z][a-z._]{0,30}-[0-9][0-9.a-z!+]{0,20}(-[0-9][a-z]?)?"
            r"-[a-z0-9]{1,9}(\.[a-z0-9]{1,9}){0,4}-[a-z0-9.]{1,20}-[a-z0-9._]{1,60}\.whl",
            fullmatch=True,
        ),
    )
)
def test_every_text_is_parsed_or_refused(filename: str) -> None:
    try:
        dist = parse_distribution_filename(filename)
    except InvalidUpload:
        return
    assert len(dist.identity) < 300
