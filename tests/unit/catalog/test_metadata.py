"""Core metadata is valid where tools act upon it, and form, filename and archive agree."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.catalog.distribution import parse_distribution_filename
from gatehouse.catalog.metadata import check_form, parse_core_metadata
from gatehouse.core.errors import InvalidUpload
from tests.support.distributions import core_metadata

HEAD = b"Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n"


class TestParsing:
    def test_gives_what_the_index_needs(self) -> None:
        metadata = parse_core_metadata(
            core_metadata(
                "Sample.Package",
                "v1.0-beta1",
                summary="Sums up",
                requires_python=">=3.9,\n <4",
                requires_dist=["other>=1; extra == 'x'"],
                extra_headers=[
                    ("Provides-Extra", "x"),
                    ("Keywords", "a,b"),
                    ("Project-URL", "Home, https://a.invalid"),
                ],
                description="# Sample\n",
            )
        )

        assert metadata.metadata_version == "2.1"
        assert metadata.name == "Sample.Package"
        assert metadata.version == "1.0b1"
        assert metadata.requires_python == ">=3.9, <4"
        assert metadata.summary == "Sums up"
        assert metadata.raw["requires_dist"] == ["other>=1; extra == 'x'"]
        assert metadata.raw["project_urls"] == {"Home": "https://a.invalid"}
        assert metadata.raw["description"] == "# Sample\n"
        assert json.loads(json.dumps(metadata.raw)) == metadata.raw

    def test_an_absent_or_empty_requires_python_is_none(self) -> None:
        assert parse_core_metadata(HEAD).requires_python is None
        assert parse_core_metadata(HEAD + b"Requires-Python:\n").requires_python is None


class TestWhatRealPackagesCarry:
    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(HEAD + b"License-File: LICENSE\n", id="a field newer than the version"),
            pytest.param(HEAD + b"License-File: licenses\\LICENSE\n", id="one that breaks its later rules"),
            pytest.param(HEAD + b"Dynamic: Requires-Dist\n", id="Dynamic before its time"),
            pytest.param(HEAD + b"X-Unknown: 1\nX-Unknown: 2\n", id="unknown fields"),
            pytest.param(HEAD + b"Description-Content-Type: UNKNOWN\n\nUNKNOWN\n", id="UNKNOWN"),
            pytest.param(HEAD.replace(b"2.1", b"2.0"), id="the draft version"),
            pytest.param(HEAD.replace(b"2.1", b"1.1"), id="an old version"),
            pytest.param(HEAD.replace(b"\n", b"\r\n") + b"\r\nbody\r\n", id="CRLF"),
            pytest.param(HEAD + b"License: MIT\n        \n        Copyright\n", id="a folded licence"),
            pytest.param(
                HEAD + b"Description: a\n        \x0c b\x1b[0m\nSummary: x\n", id="a described page break"
            ),
            pytest.param(HEAD + "Author: Jürgen\n\nHallö\x1b\n".encode(), id="other letters"),
            pytest.param(HEAD + b"Requires-Dist: other (>=1.0)\n", id="parentheses"),
            pytest.param(HEAD[:-1], id="no line end"),
        ],
    )
    def test_is_taken(self, data: bytes) -> None:
        assert parse_core_metadata(data).name == "sample"

    def test_the_draft_version_is_told_as_it_was_stated(self) -> None:
        metadata = parse_core_metadata(HEAD.replace(b"2.1", b"2.0"))

        assert metadata.metadata_version == "2.0"
        assert metadata.raw["metadata_version"] == "2.0"


CASES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "Metadata-Version"),
    "no version of the metadata": (b"Name: sample\nVersion: 1.0\n", "Metadata-Version"),
    "an unknown version of the metadata": (HEAD.replace(b"2.1", b"3.0"), "Metadata-Version"),
    "no name": (b"Metadata-Version: 2.1\nVersion: 1.0\n", "'Name'"),
    "no version": (b"Metadata-Version: 2.1\nName: sample\n", "'Version'"),
    "an invalid name": (HEAD.replace(b"sample", b"-sample"), "'Name'"),
    "a name too long": (HEAD.replace(b"sample", b"s" * 191), "'Name'"),
    "an invalid version": (HEAD.replace(b"1.0", b"one"), "'Version'"),
    "an invalid Requires-Python": (HEAD + b"Requires-Python: three\n", "'Requires-Python'"),
    "an invalid Requires-Dist": (HEAD + b"Requires-Dist: ???\n", "'Requires-Dist'"),
    "an invalid Provides-Extra": (HEAD + b"Provides-Extra: -\n", "'Provides-Extra'"),
    "an invalid content type": (HEAD + b"Description-Content-Type: text/html\n", "'Description-Content-Type'"),
    "an invalid licence expression": (
        HEAD.replace(b"2.1", b"2.4") + b"License-Expression: nonsense here\n",
        "'License-Expression'",
    ),
    "a licence file outside": (HEAD.replace(b"2.1", b"2.4") + b"License-File: ../x\n", "'License-File'"),
    "two names": (HEAD + b"Name: other\n", "'Name' is repeated"),
    "two names in other letters": (HEAD + b"NAME: other\n", "'Name' is repeated"),
    "two values of Requires-Python": (
        HEAD + b"Requires-Python: >=3\nRequires-Python: >=2\n",
        "'Requires-Python' is rep",
    ),
    "two summaries": (HEAD + b"Summary: a\nSummary: b\n", "'Summary' is repeated"),
    "a description in header and body": (HEAD + b"Description: a\n\nb", "'Description' is repeated"),
    "a summary of two lines": (HEAD + b"Summary: a\n  b\n", "'Summary'"),
    "two links of one label": (HEAD + b"Project-URL: a, b\nProject-URL: a, c\n", "'Project-Url' is repeated"),
    "not UTF-8": (HEAD + b"Author: J\xfcrgen\n", "not UTF-8"),
    "a body that is not UTF-8": (HEAD + b"\n\xff", "not UTF-8"),
    "a NUL": (HEAD + b"\nhidden\x00", "NUL"),
    "an escape sequence": (HEAD + b"Author: \x1b[31m\n", "control character in 'Author'"),
    "a line end that few know": (HEAD + "Author: a\u2028Name: b\n".encode(), "control character in 'Author'"),
    "a lone CR": (HEAD + b"Author: a\rRequires-Dist: evil\n", "control character in 'Author'"),
    "a lone CR in a description": (HEAD + b"Description: a\rRequires-Dist: evil\n", "control character"),
    "a line that is no field": (HEAD + b"nonsense\nRequires-Dist: evil\n", "no field: 'nonsense'"),
    "a field with a space before its colon": (HEAD + b"Requires-Dist : evil\n", "no field"),
    "a byte order mark": (b"\xef\xbb\xbf" + HEAD, "no field"),
    "a folded line first": (b" folded\n" + HEAD, "no field"),
    "a mailbox line": (b"From me\n" + HEAD, "no field"),
    "an empty first line": (b"\n" + HEAD, "no field|Metadata-Version"),
    "a version longer than Python reads": (HEAD.replace(b"1.0", b"1" * 5000), "'Version' is too long"),
    "a Requires-Python too long": (HEAD + b"Requires-Python: " + b">=3," * 300 + b">=3\n", "too long"),
    "a content type too long": (
        HEAD + b"Description-Content-Type: text/plain; " + b"a=b;" * 300 + b"\n",
        "too long",
    ),
    "a requirement too long": (HEAD + b"Requires-Dist: a[" + b"x," * 20_000 + b"x]\n", "too long"),
    "a folded field too long": (HEAD + b"Author: a\n" + b" b\n" * 20_000, "too long"),
    "a marker nested too deeply": (HEAD + b"Requires-Dist: a; " + b"(" * 9000 + b"\n", "nested too deeply"),
    "a licence nested too deeply": (
        b"Metadata-Version: 2.4\nName: foo\nVersion: 1\nLicense-Expression: " + b"MIT OR (" * 3900 + b"\n",
        "nested too deeply",
    ),
    "too many fields": (HEAD + b"Classifier: x\n" * 20_000, "too many fields"),
    "too many different fields": (HEAD + b"".join(b"X-%d: y\n" % i for i in range(300)), "too many fields"),
    "attachments": (HEAD + b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--b--\n", "belongs to e-mail"),
    "an encoded body": (HEAD + b"Content-Transfer-Encoding: base64\n\neA==\n", "belongs to e-mail"),
}


class TestRefusals:
    @pytest.mark.parametrize(("data", "reason"), CASES.values(), ids=CASES.keys())
    def test_name_the_field_in_one_line(self, data: bytes, reason: str) -> None:
        with pytest.raises(InvalidUpload, match=reason) as refused:
            parse_core_metadata(data)
        assert refused.value.message.isprintable()
        assert refused.value.message.isascii()
        assert len(refused.value.message) < 500


@given(st.binary(max_size=300), st.integers(0, len(HEAD)))
def test_any_bytes_are_parsed_or_refused(noise: bytes, at: int) -> None:
    try:
        metadata = parse_core_metadata(HEAD[:at] + noise + HEAD[at:])
    except InvalidUpload:
        return
    json.dumps(metadata.raw)


WHEEL = "foo_bar-1.0-py2.py3-none-any.whl"


def check(
    form: dict[str, list[str]], *, filename: str = WHEEL, name: str = "Foo.Bar", version: str = "1.0"
) -> None:
    """Check a form, agreeing but for these fields, against a filename and an archive's name and version."""
    fields = {"name": ["foo-bar"], "version": ["1.0"]} | form
    check_form(fields, parse_distribution_filename(filename), parse_core_metadata(core_metadata(name, version)))


class TestForm:
    @pytest.mark.parametrize(
        "form",
        [
            {},
            {"name": ["FOO_bar"]},
            {"version": ["1.0.0"]},
            {"version": ["v1"]},
            {"filetype": ["bdist_wheel"]},
            {"pyversion": ["py2.py3"]},
            {"pyversion": ["py3.py2"]},
            {"classifiers": ["a", "b"]},
        ],
    )
    def test_that_agrees_is_taken(self, form: dict[str, list[str]]) -> None:
        check(form)

    def test_of_an_sdist_is_taken(self) -> None:
        check({"filetype": ["sdist"], "pyversion": ["source"]}, filename="foo_bar-1.0.tar.gz")

    @pytest.mark.parametrize(
        ("form", "reason"),
        [
            ({"name": ["other"]}, "Form and filename disagree on the name: the form says 'other'"),
            ({"name": []}, "disagree on the name"),
            ({"name": ["foo bar"]}, "disagree on the name"),
            ({"name": ["foo-bar", "foo-bar"]}, "gives 'name' 2 times"),
            ({"version": ["1.1"]}, "Form and filename disagree on the version: the form says '1.1'"),
            ({"version": []}, "disagree on the version"),
            ({"version": ["one"]}, "disagree on the version"),
            ({"version": ["1" * 5000]}, "disagree on the version"),
            ({"version": ["1.0", "1.1"]}, "gives 'version' 2 times"),
            ({"filetype": ["sdist"]}, "disagree on the file's type"),
            ({"filetype": ["bdist_egg"]}, "disagree on the file's type"),
            ({"pyversion": ["py3"]}, "disagree on the Python tag"),
            ({"pyversion": ["source"]}, "disagree on the Python tag"),
        ],
    )
    def test_that_contradicts_is_refused(self, form: dict[str, list[str]], reason: str) -> None:
        with pytest.raises(InvalidUpload, match=reason):
            check(form)

    def test_a_name_in_the_archive_that_is_not_the_filenames_is_refused(self) -> None:
        with pytest.raises(InvalidUpload, match="Filename and metadata disagree on the name"):
            check({}, name="other")

    def test_a_version_in_the_archive_that_is_not_the_filenames_is_refused(self) -> None:
        with pytest.raises(InvalidUpload, match="Filename and metadata disagree on the version"):
            check({}, version="1.0.1")

    def test_what_is_echoed_is_short_and_harmless(self) -> None:
        with pytest.raises(InvalidUpload) as refused:
            check({"filetype": ["\x1b[31m\r\n" + "ü" * 10_000]})

        assert len(refused.value.message) < 600
        assert refused.value.message.isprintable()
        assert refused.value.message.isascii()
