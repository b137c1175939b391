"""The simple pages say what the PEPs ask, and the same values always give the same bytes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from gatehouse.catalog.model import PageFile, ProjectPage, ProjectStatus
from gatehouse.catalog.pages import render_index, render_page

SHA = "a" * 64
META = "b" * 64
AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def wheel(version: str = "1.0", **more: object) -> PageFile:
    values: dict[str, object] = {
        "filename": f"example-{version}-py3-none-any.whl",
        "version": version,
        "sha256": SHA,
        "size": 1234,
        "uploaded_at": AT,
    }
    return PageFile(**(values | more))  # type: ignore[arg-type] # the values above have the fields' types


class Page(HTMLParser):
    """What an installer takes from an HTML page."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.anchors: list[dict[str, str | None]] = []
        self.meta: dict[str | None, str | None] = {}
        self.tags: list[str] = []
        self.feed(data.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = dict(attrs)
        if tag == "a":
            self.anchors.append(values)
        if tag == "meta" and "name" in values:
            self.meta[values["name"]] = values.get("content")


def test_html_links_are_relative_and_carry_the_digest() -> None:
    page = Page(render_page(ProjectPage(name="example", files=(wheel(),)), "html"))
    assert page.anchors == [{"href": f"../../files/example/example-1.0-py3-none-any.whl#sha256={SHA}"}]


def test_html_states_requires_python_metadata_and_yank() -> None:
    file = wheel(requires_python=">=3.8,<4", metadata_sha256=META, yanked=True, yanked_reason="broken")
    (anchor,) = Page(render_page(ProjectPage(name="example", files=(file,)), "html")).anchors
    assert anchor["data-requires-python"] == ">=3.8,<4"
    assert anchor["data-core-metadata"] == f"sha256={META}"
    assert anchor["data-dist-info-metadata"] == f"sha256={META}"
    assert anchor["data-yanked"] == "broken"


def test_json_has_the_fields_of_pep_691_and_700() -> None:
    file = wheel(requires_python=">=3.8", metadata_sha256=META)
    page = json.loads(render_page(ProjectPage(name="example", files=(file, wheel("1.1"))), "json"))
    assert page["meta"]["api-version"] == "1.4"
    assert page["name"] == "example"
    assert page["versions"] == ["1.0", "1.1"]
    assert page["project-status"] == {"status": "active"}
    assert page["files"][0] == {
        "filename": "example-1.0-py3-none-any.whl",
        "url": "../../files/example/example-1.0-py3-none-any.whl",
        "hashes": {"sha256": SHA},
        "requires-python": ">=3.8",
        "core-metadata": {"sha256": META},
        "size": 1234,
        "upload-time": "2026-01-02T03:04:05.678901Z",
        "yanked": False,
    }


def test_a_yank_without_a_reason_is_true_in_json_and_empty_in_html() -> None:
    page = ProjectPage(name="example", files=(wheel(yanked=True),))
    assert json.loads(render_page(page, "json"))["files"][0]["yanked"] is True
    assert Page(render_page(page, "html")).anchors[0]["data-yanked"] == ""


def test_a_quarantined_project_lists_no_file_and_says_so() -> None:
    page = ProjectPage(
        name="example", status=ProjectStatus.QUARANTINED, status_reason="under review", files=(wheel(),)
    )
    body = json.loads(render_page(page, "json"))
    assert body["files"] == []
    assert body["project-status"] == {"status": "quarantined", "reason": "under review"}
    html = Page(render_page(page, "html"))
    assert html.anchors == []
    assert html.meta["pypi:project-status"] == "quarantined"
    assert html.meta["pypi:project-status-reason"] == "under review"


def test_versions_are_in_version_order_not_in_text_order() -> None:
    page = ProjectPage(name="example", files=(wheel("10.0"), wheel("9.0"), wheel("9.0rc1")))
    assert json.loads(render_page(page, "json"))["versions"] == ["9.0rc1", "9.0", "10.0"]


@given(st.permutations([wheel("1.0"), wheel("2.0"), wheel("10.0"), wheel("1.0.dev1")]))
def test_the_order_of_the_files_makes_no_difference(files: list[PageFile]) -> None:
    for page_format in ("html", "json"):
        expected = render_page(ProjectPage(name="x", files=tuple(sorted(files, key=repr))), page_format)
        assert render_page(ProjectPage(name="x", files=tuple(files)), page_format) == expected


@given(st.text(max_size=60))
def test_no_text_of_an_uploader_becomes_markup(text: str) -> None:
    file = wheel(requires_python=text, yanked=True, yanked_reason=text)
    page = ProjectPage(name="x", status=ProjectStatus.ARCHIVED, status_reason=text, files=(file,))
    tags = Page(render_page(page, "html").decode(errors="replace").encode()).tags
    assert sorted(set(tags)) == ["a", "body", "br", "h1", "head", "html", "meta", "title"]
    assert tags.count("a") == 1
    assert json.loads(render_page(page, "json"))["files"][0]["yanked"] == (text or True)


def test_the_index_lists_names_in_both_forms() -> None:
    names = ["alpha", "beta-gamma"]
    assert [anchor["href"] for anchor in Page(render_index(names, "html")).anchors] == ["alpha/", "beta-gamma/"]
    assert json.loads(render_index(names, "json"))["projects"] == [{"name": "alpha"}, {"name": "beta-gamma"}]
