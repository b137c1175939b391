"""A distribution's core metadata, and whether form, filename and archive tell of the same distribution.

Implements the core metadata specification by `packaging.metadata`, with the strictness of an index: what tools
act upon (Metadata-Version, Name, Version, Requires-Python, Requires-Dist, Provides-Extra and their like) must be
valid, and the header must read alike to every parser. It takes what real packages carry: unknown fields; fields
newer than the stated Metadata-Version (setuptools writes License-File into 2.1); `UNKNOWN` for nothing, as
distutils wrote; and Metadata-Version 2.0, which was never adopted and yet stands in the wheels of three years.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from packaging.metadata import InvalidMetadata, Metadata, RawMetadata, parse_email
from packaging.version import Version

from gatehouse.catalog.distribution import DistributionName
from gatehouse.core.errors import InvalidUpload
from gatehouse.core.names import InvalidName, normalize_name

#: Written by the tools of 2014 to 2018; it never got a specification, its fields are those of 1.2 and 2.1.
_DRAFT_VERSION = "2.0"
_READ_DRAFT_AS = "2.1"

#: From which Metadata-Version on these fields have rules. Tools wrote them before too: then they are kept unread.
_HAS_RULES_FROM: Mapping[str, Version] = {
    "dynamic": Version("2.2"),
    "license_expression": Version("2.4"),
    "license_files": Version("2.4"),
    "import_names": Version("2.5"),
    "import_namespaces": Version("2.5"),
}

#: What `parse_email` sets aside when repeated or unreadable; whatever else it sets aside is an unknown field.
_KNOWN_FIELDS = frozenset(
    {
        "author",
        "author-email",
        "description",
        "description-content-type",
        "download-url",
        "home-page",
        "keywords",
        "license",
        "license-expression",
        "maintainer",
        "maintainer-email",
        "metadata-version",
        "name",
        "project-url",
        "requires-python",
        "summary",
        "version",
    }
)

_HEADER_END = re.compile(r"\r?\n\r?\n")
_HEADER_LINE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*:.*|[ \t].*", re.DOTALL)
#: Control characters but the tab and the line ends, and the line ends that only some parsers know.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_ECHO = 80

#: Parsing takes time by the square of some figures, so these are bounded before it begins. Lengths in characters.
_MAX_FIELDS = 20_000
_MAX_FIELD_NAMES = 200
_MAX_LENGTH = 32 * 1024
#: A version of more than 4,300 digits cannot even be read; nobody writes one of a thousand.
_MAX_SHORT_LENGTH = 1024
_SHORT_FIELDS = frozenset({"metadata-version", "name", "version", "requires-python", "description-content-type"})
#: To parsers made for e-mail these turn the description into attachments, as deeply nested as they like.
_MIME_FIELDS = frozenset({"content-type", "content-transfer-encoding"})
_LONG_FIELDS = frozenset({"description", "license"})


@dataclass(frozen=True, kw_only=True, slots=True)
class CoreMetadata:
    """Valid core metadata.

    `name` is as its author spells it; `version` is canonical; `requires_python` is one line or None. `raw` is all
    known fields in the shape of `packaging.metadata.RawMetadata`: strings, lists and dicts, ready for JSON.
    """

    metadata_version: str
    name: str
    version: str
    requires_python: str | None
    summary: str | None
    raw: dict[str, Any]


def parse_core_metadata(data: bytes) -> CoreMetadata:
    """Core metadata from the bytes of METADATA or PKG-INFO.

    Raises:
        InvalidUpload: it is not UTF-8, its header is malformed, or a field is missing, repeated or not valid.
    """
    raw, unparsed = parse_email(_checked_text(data))
    for field in sorted(unparsed):
        if field in _KNOWN_FIELDS:
            raise InvalidUpload(f"The core metadata's {field.title()!r} is repeated or cannot be read.")
    fields: dict[str, Any] = {key: value for key, value in raw.items() if value != "UNKNOWN"}
    stated = fields.get("metadata_version")
    if stated == _DRAFT_VERSION:
        fields["metadata_version"] = _READ_DRAFT_AS
    metadata = _validated(fields)
    if stated == _DRAFT_VERSION:
        fields["metadata_version"] = _DRAFT_VERSION
    try:
        normalize_name(metadata.name)
    except InvalidName as error:
        raise InvalidUpload(f"The core metadata's 'Name' is not valid: {error.message}") from error
    return CoreMetadata(
        metadata_version=fields["metadata_version"],
        name=metadata.name,
        version=str(metadata.version),
        requires_python=" ".join(fields.get("requires_python", "").split()) or None,
        summary=fields.get("summary") or None,
        raw=fields,
    )


def check_form(fields: Mapping[str, Sequence[str]], dist: DistributionName, metadata: CoreMetadata) -> None:
    """See that upload form, filename and the archive's own metadata tell of the same distribution.

    Args:
        fields: the form's text fields, each with all its values in order: `name` and `version` once each;
            `filetype` and `pyversion` at most once; others are not looked at.
        dist: the filename, parsed.
        metadata: what the archive says.

    Raises:
        InvalidUpload: two of the three disagree (the message says which), or a field is missing or repeated.
    """
    if normalize_name(metadata.name) != dist.project:
        raise InvalidUpload(
            f"Filename and metadata disagree on the name: {dist.filename!r} is of {dist.project!r}, "
            f"its metadata is of {metadata.name[:_ECHO]!a}."
        )
    if Version(metadata.version) != Version(dist.version):
        raise InvalidUpload(
            f"Filename and metadata disagree on the version: {dist.filename!r} is of {dist.version!r}, "
            f"its metadata is of {metadata.version[:_ECHO]!a}."
        )
    name = _one(fields, "name")
    if name is None or _normalized(name) != dist.project:
        raise InvalidUpload(
            f"Form and filename disagree on the name: the form says {(name or '')[:_ECHO]!a}, "
            f"{dist.filename!r} is of {dist.project!r}."
        )
    version = _one(fields, "version")
    if version is None or _parsed(version) != Version(dist.version):
        raise InvalidUpload(
            f"Form and filename disagree on the version: the form says {(version or '')[:_ECHO]!a}, "
            f"{dist.filename!r} is of {dist.version!r}."
        )
    filetype = _one(fields, "filetype")
    if filetype is not None and filetype != dist.kind:
        raise InvalidUpload(
            f"Form and filename disagree on the file's type: the form says {filetype[:_ECHO]!a}, "
            f"{dist.filename!r} is of type {dist.kind!r}."
        )
    python_tag = _one(fields, "pyversion")
    if python_tag is not None and set(python_tag.lower().split(".")) != set(dist.python_tag.split(".")):
        raise InvalidUpload(
            f"Form and filename disagree on the Python tag: the form says {python_tag[:_ECHO]!a}, "
            f"{dist.filename!r} is for {dist.python_tag!r}."
        )


def _checked_text(data: bytes) -> str:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidUpload("The core metadata is not UTF-8.") from error
    if "\x00" in text:
        raise InvalidUpload("The core metadata holds a NUL character.")
    end = _HEADER_END.search(text)
    header = text if end is None else text[: end.start()]
    _check_header(header.replace("\r\n", "\n").split("\n"), has_body=end is not None)
    return text


def _check_header(lines: Sequence[str], *, has_body: bool) -> None:
    field = ""
    count = length = 0
    names: set[str] = set()
    for line in lines:
        if not line and not has_body:
            continue
        # Parsers part ways at a line that is no field: one stops reading there, another reads on.
        is_folded = line[:1] in (" ", "\t")
        if not _HEADER_LINE.fullmatch(line) or (is_folded and not field):
            raise InvalidUpload(f"The core metadata's header holds a line that is no field: {line[:_ECHO]!a}.")
        if not is_folded:
            field = line.partition(":")[0].lower()
            names.add(field)
            if field in _MIME_FIELDS:
                raise InvalidUpload(f"The core metadata has a field {field.title()!r}, which belongs to e-mail.")
            count, length = count + 1, 0
        length += len(line)
        # A lone CR ends a line for some parsers. Else a description may hold whatever people paste.
        if "\r" in line or (field != "description" and _CONTROL.search(line)):
            raise InvalidUpload(f"The core metadata holds a control character in {field[:_ECHO].title()!r}.")
        if field not in _LONG_FIELDS and length > (_MAX_SHORT_LENGTH if field in _SHORT_FIELDS else _MAX_LENGTH):
            raise InvalidUpload(f"The core metadata's {field[:_ECHO].title()!r} is too long.")
        if count > _MAX_FIELDS or len(names) > _MAX_FIELD_NAMES:
            raise InvalidUpload("The core metadata has too many fields.")


def _validated(fields: dict[str, Any]) -> Metadata:
    # Field by field, because validating as a whole refuses every field newer than the stated version.
    raw: RawMetadata = fields  # type: ignore[assignment]  # what parse_email gave, less some optional fields
    metadata = Metadata.from_raw(raw, validate=False)
    try:
        stated = Version(metadata.metadata_version)
        for key in ("name", "version", *fields):
            if stated >= _HAS_RULES_FROM.get(key, stated):
                getattr(metadata, key)
    except InvalidMetadata as error:
        raise InvalidUpload(
            f"The core metadata's {error.field.title()!r} is not valid: {_reason(error)}"
        ) from error
    except (RecursionError, MemoryError, ValueError) as error:
        # What packaging lets through: parentheses deeper than its stack or, in a licence, than that of Python's
        # own parser (a MemoryError), numbers longer than Python reads.
        raise InvalidUpload(
            "The core metadata cannot be parsed: a field is nested too deeply or holds too long a number."
        ) from error
    return metadata


def _reason(error: InvalidMetadata) -> str:
    reason = str(error).encode("ascii", "backslashreplace").decode("ascii")
    return " ".join(reason[:300].split()) + "."


def _one(fields: Mapping[str, Sequence[str]], key: str) -> str | None:
    values = fields.get(key, ())
    if len(values) > 1:
        raise InvalidUpload(f"The form gives {key!r} {len(values)} times.")
    return values[0] if values else None


def _normalized(name: str) -> str | None:
    try:
        return normalize_name(name)
    except InvalidName:
        return None


def _parsed(version: str) -> Version | None:
    try:
        return Version(version)
    except ValueError:
        # InvalidVersion is one; a number of more digits than Python reads is another.
        return None
