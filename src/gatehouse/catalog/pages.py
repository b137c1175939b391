"""The simple pages of a project as bytes: PEP 503 and 691, with the fields of PEP 592, 658, 700, 714 and 792.

The bytes are a function of the values alone, so that the page that TUF signs can be rendered again and be
the same. Links are relative: the page reads alike at `/simple/<name>/` and below `/tuf/targets/`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC
from html import escape
from typing import Any
from urllib.parse import quote

from packaging.version import Version

from gatehouse.catalog.model import PageFile, ProjectPage, ProjectStatus
from gatehouse.core.names import PageFormat

#: The version of the simple API that these pages follow (PEP 792).
API_VERSION = "1.4"
_PAGE_HEAD = (
    "<!DOCTYPE html>\n"
    '<html lang="en">\n'
    "  <head>\n"
    '    <meta charset="utf-8">\n'
    f'    <meta name="pypi:repository-version" content="{API_VERSION}">\n'
)


def render_page(page: ProjectPage, page_format: PageFormat) -> bytes:
    """A project's simple page.

    Args:
        page: what the page says; files may stand in any order.
        page_format: `html` (PEP 503) or `json` (PEP 691).

    Returns:
        UTF-8 bytes, equal for equal values.
    """
    files = _in_order(page.files) if page.status.offers_files else []
    if page_format == "html":
        return _html(page, files).encode()
    return _json(page, files)


def render_index(names: Iterable[str], page_format: PageFormat) -> bytes:
    """The list of all projects at `/simple/`; it is not a target and nobody signs it.

    Args:
        names: normalized names in the order to show.
        page_format: `html` or `json`.
    """
    if page_format == "json":
        body = {"meta": {"api-version": API_VERSION}, "projects": [{"name": name} for name in names]}
        return _dump(body)
    links = "".join(f'    <a href="{name}/">{name}</a><br>\n' for name in map(escape, names))
    return (
        f"{_PAGE_HEAD}    <title>Simple index</title>\n  </head>\n  <body>\n{links}  </body>\n</html>\n".encode()
    )


def _in_order(files: Iterable[PageFile]) -> list[PageFile]:
    return sorted(files, key=lambda file: (Version(file.version), file.filename))


def _url(page: ProjectPage, file: PageFile) -> str:
    return f"../../files/{page.name}/{quote(file.filename, safe='~!+')}"


def _html(page: ProjectPage, files: list[PageFile]) -> str:
    head = _PAGE_HEAD
    if page.status is not ProjectStatus.ACTIVE:
        head += f'    <meta name="pypi:project-status" content="{page.status}">\n'
        if page.status_reason:
            reason = escape(page.status_reason, quote=True)
            head += f'    <meta name="pypi:project-status-reason" content="{reason}">\n'
    title = f"Links for {page.name}"
    links = "".join(f"    {_anchor(page, file)}<br>\n" for file in files)
    return (
        f"{head}    <title>{title}</title>\n  </head>\n  <body>\n    <h1>{title}</h1>\n{links}  </body>\n</html>\n"
    )


def _anchor(page: ProjectPage, file: PageFile) -> str:
    attributes = {"href": f"{_url(page, file)}#sha256={file.sha256}"}
    if file.requires_python is not None:
        attributes["data-requires-python"] = file.requires_python
    if file.metadata_sha256 is not None:
        # PEP 714: the second name is for installers that know only PEP 658 as it was first written.
        attributes["data-core-metadata"] = attributes["data-dist-info-metadata"] = f"sha256={file.metadata_sha256}"
    if file.yanked:
        attributes["data-yanked"] = file.yanked_reason or ""
    text = " ".join(f'{name}="{escape(value, quote=True)}"' for name, value in attributes.items())
    return f"<a {text}>{escape(file.filename)}</a>"


def _json(page: ProjectPage, files: list[PageFile]) -> bytes:
    status: dict[str, str] = {"status": page.status.value}
    if page.status_reason and page.status is not ProjectStatus.ACTIVE:
        status["reason"] = page.status_reason
    versions: list[str] = sorted({file.version for file in files}, key=Version)
    return _dump(
        {
            "files": [_file_object(page, file) for file in files],
            "meta": {"api-version": API_VERSION},
            "name": page.name,
            "project-status": status,
            "versions": versions,
        }
    )


def _file_object(page: ProjectPage, file: PageFile) -> dict[str, Any]:
    core_metadata = False if file.metadata_sha256 is None else {"sha256": file.metadata_sha256}
    body: dict[str, Any] = {
        "core-metadata": core_metadata,
        "filename": file.filename,
        "hashes": {"sha256": file.sha256},
        "size": file.size,
        "upload-time": file.uploaded_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "url": _url(page, file),
        "yanked": (file.yanked_reason or True) if file.yanked else False,
    }
    if file.requires_python is not None:
        body["requires-python"] = file.requires_python
    return body


def _dump(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
