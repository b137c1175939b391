"""Names: projects (PEP 503), filenames and TUF target paths, each by the grammar of the contract.

A name outside its grammar never becomes a target path: control characters make canonical JSON
unparseable, `#` and `../` break URLs, and `%20` aliases a space. So the grammars are narrow on purpose.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from gatehouse.core.errors import CallerError

#: A filename gets a `<sha256>.` prefix of 65 bytes, and a file system takes 255.
MAX_FILENAME_BYTES = 190
#: So that no project name makes a path that a file system or a URL refuses.
MAX_NAME_BYTES = 190

_DISPLAY_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?", re.ASCII)
_NORMALIZED_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*", re.ASCII)
_FILENAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!~-]*", re.ASCII)
_SEPARATORS = re.compile(r"[-_.]+")

PageFormat = Literal["html", "json"]
_PAGE_FILES: dict[PageFormat, str] = {"html": "index.html", "json": "index.v1.json"}


class InvalidName(CallerError):
    """A project name, filename or target path is outside its grammar."""

    code = "invalid-name"


def normalize_name(name: str) -> str:
    """A project's normalized name (PEP 503): lower case, runs of `-`, `_` and `.` become one `-`.

    Raises:
        InvalidName: the name is not a valid project name (core metadata specification, `Name`).
    """
    if len(name) > MAX_NAME_BYTES or not _DISPLAY_NAME.fullmatch(name):
        raise InvalidName(
            f"Invalid project name {name[:80]!r}: use letters, digits, '.', '_' and '-', begin and end with a "
            f"letter or digit, at most {MAX_NAME_BYTES} characters."
        )
    return _SEPARATORS.sub("-", name).lower()


def is_normalized_name(name: str) -> bool:
    """Whether a text is a normalized project name."""
    return len(name) <= MAX_NAME_BYTES and _NORMALIZED_NAME.fullmatch(name) is not None


def check_filename(filename: str) -> str:
    """The filename, if the contract's grammar takes it.

    Raises:
        InvalidName: it does not.
    """
    if len(filename) > MAX_FILENAME_BYTES:
        raise InvalidName(f"Filename {filename[:60]!r} (and more) is longer than {MAX_FILENAME_BYTES} bytes.")
    if not _FILENAME.fullmatch(filename):
        raise InvalidName(
            f"Invalid filename {filename!r}: use letters, digits and '._+!~-', begin with a letter or digit."
        )
    return filename


def file_target(name: str, filename: str) -> str:
    """The target path of a distribution file, `files/<name>/<filename>`.

    Raises:
        InvalidName: a part is outside its grammar.
    """
    return f"files/{_normalized(name)}/{check_filename(filename)}"


def page_target(name: str, page: PageFormat) -> str:
    """The target path of a project's simple page, `simple/<name>/index.html` or `…/index.v1.json`.

    Raises:
        InvalidName: the name is not normalized.
    """
    return f"simple/{_normalized(name)}/{_PAGE_FILES[page]}"


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetName:
    """A target path taken apart."""

    path: str
    kind: Literal["file", "page"]
    project: str
    filename: str


def parse_target(path: str) -> TargetName:
    """Take a target path apart.

    Raises:
        InvalidName: the path is not `files/<name>/<filename>` or `simple/<name>/<page>`.
    """
    match path.split("/"):
        case ["files", name, filename] if is_normalized_name(name):
            return TargetName(path=path, kind="file", project=name, filename=check_filename(filename))
        case ["simple", name, page] if is_normalized_name(name) and page in _PAGE_FILES.values():
            return TargetName(path=path, kind="page", project=name, filename=page)
    raise InvalidName(
        f"Invalid target path {path[:200]!r}: neither files/<name>/<filename> nor simple/<name>/<page>."
    )


def _normalized(name: str) -> str:
    if not is_normalized_name(name):
        raise InvalidName(f"{name[:80]!r} is not a normalized project name.")
    return name
