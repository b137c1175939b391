"""The upload form as it streams in: text fields into memory within limits, the one file into the blob store.

multipart/form-data (RFC 7578). The parser is `multipart`'s push parser; here stand the limits and what a form
of PyPI's upload API may hold. Every fault ends in one sentence; what was written of the file is the
caller's to drop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from multipart import MultipartError, ParserLimitReached, PushMultipartParser, parse_options_header

from gatehouse.core.errors import InvalidUpload, TooLarge

#: The part that carries the file.
CONTENT = "content"
#: A part with a file that PyPI takes and ignores; so do we.
IGNORED_FILES = frozenset({"gpg_signature"})
_MEBIBYTE = 1024 * 1024
_CHUNK = 64 * 1024
_MAX_BOUNDARY = 70  # RFC 2046 §5.1.1


@dataclass(frozen=True, kw_only=True, slots=True)
class FormLimits:
    """How much of a form is taken. Lengths in bytes; `content` is the file's."""

    content: int
    field: int = 2 * _MEBIBYTE
    fields: int = 8 * _MEBIBYTE
    parts: int = 1000

    @property
    def body(self) -> int:
        """The largest body that can be within these limits, part headers and boundaries included."""
        return self.content + self.fields + _MEBIBYTE


@dataclass(kw_only=True, slots=True)
class Form:
    """What came beside the file's bytes."""

    fields: dict[str, list[str]] = field(default_factory=dict)
    filename: str | None = None


def read_form(
    read: Callable[[int], bytes],
    content_type: str | None,
    *,
    limits: FormLimits,
    write: Callable[[bytes], None],
) -> Form:
    """Read a form to its end.

    Args:
        read: gives the next bytes of the body, at most as many as asked for; none at its end.
        content_type: the request's `Content-Type`.
        limits: how much is taken.
        write: takes the bytes of the file as they come.

    Returns:
        The fields, each with its values in order, and the filename that the file's part states; None if
        there is no such part.

    Raises:
        InvalidUpload: the form is malformed, cut short, or holds what no upload holds.
        TooLarge: a limit is exceeded; raised at once, without reading on.
    """
    reader = _FormReader(limits, write)
    try:
        with PushMultipartParser(_boundary(content_type), max_segment_count=limits.parts) as parser:
            while not parser.closed:
                for event in parser.parse(read(_CHUNK)):
                    reader.take(event)
    except ParserLimitReached as error:
        raise InvalidUpload(
            f"The upload form has more than {limits.parts} parts, or headers of a part that are too long."
        ) from error
    except MultipartError as error:
        raise InvalidUpload("The upload form is malformed or was cut short.") from error
    return reader.form


def _boundary(content_type: str | None) -> str:
    kind, options = parse_options_header(content_type or "")
    if kind != "multipart/form-data":
        raise InvalidUpload("An upload is a form of the type multipart/form-data.")
    boundary: str = options.get("boundary", "")
    if not 1 <= len(boundary) <= _MAX_BOUNDARY or not boundary.isascii() or not boundary.isprintable():
        raise InvalidUpload("The upload form states no valid boundary.")
    return boundary


class _FormReader:
    """Takes the parser's events: a segment begins, bytes of it, None at its end."""

    def __init__(self, limits: FormLimits, write: Callable[[bytes], None]) -> None:
        self.form = Form()
        self._limits = limits
        self._write = write
        self._content_left = limits.content
        self._fields_left = limits.fields
        self._name = ""
        self._text: bytearray | None = None
        self._skipped = 0

    def take(self, event: object) -> None:
        if event is None:
            self._end()
        elif isinstance(event, bytes | bytearray):
            self._bytes(bytes(event))
        else:
            self._begin(event)

    def _begin(self, segment: object) -> None:
        name = getattr(segment, "name", None)
        filename = getattr(segment, "filename", None)
        if not name or not name.isprintable():
            raise InvalidUpload("A part of the upload form has no valid name.")
        self._name, self._text, self._skipped = name, None, 0
        self._spend(len(name))
        if name == CONTENT:
            if self.form.filename is not None:
                raise InvalidUpload("The upload form holds more than one file.")
            if not filename:
                raise InvalidUpload("The part 'content' of the upload form states no filename.")
            self.form.filename = filename
        elif name not in IGNORED_FILES:
            if filename is not None:
                raise InvalidUpload(f"The part {name[:80]!r} of the upload form holds a file; only 'content' may.")
            self._text = bytearray()

    def _bytes(self, chunk: bytes) -> None:
        if self._name == CONTENT:
            self._content_left -= len(chunk)
            if self._content_left < 0:
                raise TooLarge(f"The file is larger than the {self._limits.content} bytes that this index takes.")
            self._write(chunk)
            return
        self._spend(len(chunk))
        self._skipped += len(chunk)
        if self._skipped > self._limits.field:
            raise TooLarge(f"The field {self._name[:80]!r} is longer than {self._limits.field} bytes.")
        if self._text is not None:
            self._text += chunk

    def _end(self) -> None:
        if self._text is None:
            return
        try:
            text = self._text.decode()
        except UnicodeDecodeError as error:
            raise InvalidUpload(f"The field {self._name[:80]!r} is not valid UTF-8.") from error
        if "\0" in text:
            raise InvalidUpload(f"The field {self._name[:80]!r} holds a NUL character.")
        self.form.fields.setdefault(self._name, []).append(text)

    def _spend(self, count: int) -> None:
        self._fields_left -= count
        if self._fields_left < 0:
            raise TooLarge(f"The fields of the upload form are longer than {self._limits.fields} bytes together.")
