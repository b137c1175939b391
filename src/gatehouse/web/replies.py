"""Answers: small bodies, redirects, and blobs streamed from the store.

A blob is handed to the server as a file (`wsgi.file_wrapper`), so that no thread waits for a slow reader. Its
ETag is its SHA-256. A compressed form has an ETag of its own, for it is other bytes (RFC 9110 §8.8.3.3), and no
ranges; which answers come compressed is said in `web.compressed`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256 as _sha256
from typing import BinaryIO
from wsgiref.types import WSGIEnvironment

import webob

from gatehouse.core.errors import CallerError, NotFound, StoreError
from gatehouse.gate.ports import Blobs, Coding, Encoded
from gatehouse.web.request import Request

#: For what can never change under its address (RFC 8246).
IMMUTABLE = "public, max-age=31536000, immutable"
#: For what changes: a cache may keep it and asks each time whether it is still the same.
REVALIDATE = "public, no-cache"

_CHUNK = 256 * 1024
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


class UnsatisfiableRange(CallerError):
    """The range lies outside the file. `length` is the file's, in bytes."""

    code = "range-not-satisfiable"

    def __init__(self, length: int) -> None:
        super().__init__(f"The requested range lies outside the {length} bytes of this file.")
        self.length = length


class Reply(webob.Response):
    """A response that leaves `Location` as it is.

    WebOb would make it absolute with the request's `Host` header, which a stranger chooses.
    """

    def _abs_headerlist(self, _environ: WSGIEnvironment) -> list[tuple[str, str]]:
        return list(self.headerlist)


def text_reply(text: str, *, status: int = 200, content_type: str = "text/plain") -> Reply:
    """A short text, UTF-8, not to be cached."""
    reply = Reply(text.encode(), status=status, content_type=content_type, charset="utf-8")
    reply.headers["Cache-Control"] = "no-store"
    return reply


def bytes_reply(
    request: Request,
    body: bytes,
    *,
    content_type: str,
    cache_control: str,
    charset: str | None = None,
    etag: str | None = None,
) -> Reply:
    """Bytes in memory, with the ETag given or one of their digest."""
    etag = etag or etag_of(body)
    if etag_matches(request, etag):
        return _not_modified(etag, cache_control)
    reply = _reply(body, content_type, charset)
    reply.headers["ETag"] = etag
    reply.headers["Cache-Control"] = cache_control
    return reply


def encoded_reply(
    request: Request,
    encoded: Encoded,
    coding: Coding,
    *,
    content_type: str,
    cache_control: str,
    charset: str | None = None,
) -> Reply:
    """A compressed form, or 304 when the client has it."""
    etag = f'"{encoded.of_sha256}-{coding}"'
    if etag_matches(request, etag):
        return _not_modified(etag, cache_control)
    reply = _reply(encoded.data, content_type, charset)
    reply.headers["Content-Encoding"] = coding
    reply.headers["ETag"] = etag
    reply.headers["Cache-Control"] = cache_control
    return reply


def redirect(location: str, *, status: int = 302, cache_control: str = "no-store") -> Reply:
    """A redirect to a relative or absolute address of ours.

    Raises:
        StoreError: the address has characters that no header may carry.
    """
    if not location.isascii() or not location.isprintable() or " " in location:
        raise StoreError("An address to redirect to is not a valid URL.")
    reply = Reply(status=status, content_type="text/plain", charset="utf-8")
    reply.headers["Location"] = location
    reply.headers["Cache-Control"] = cache_control
    return reply


def blob_reply(
    request: Request,
    blobs: Blobs,
    *,
    sha256: str,
    length: int,
    content_type: str,
    cache_control: str,
    charset: str | None = None,
) -> Reply:
    """A blob: whole, or one range of it (RFC 9110 §14), or 304 when the client has it.

    Raises:
        UnsatisfiableRange: the one range asked for lies outside the blob.
        StoreError: the blob is not in the store although the catalog names it.
    """
    etag = f'"{sha256}"'
    if etag_matches(request, etag):
        return _not_modified(etag, cache_control)
    window = _range(request, etag, length)
    start, stop = window or (0, length)
    reply = _reply(b"", content_type, charset)
    reply.headers["ETag"] = etag
    reply.headers["Cache-Control"] = cache_control
    reply.headers["Accept-Ranges"] = "bytes"
    if window is not None:
        reply.status_int = 206
        reply.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{length}"
    if request.method != "HEAD" and stop > start:
        try:
            stream = blobs.open(sha256)
        except NotFound as error:
            raise StoreError("A file that the catalog names is missing from the store.") from error
        stream.seek(start)
        wrapper = request.environ.get("wsgi.file_wrapper")
        reply.app_iter = _Window(stream, stop - start) if wrapper is None else wrapper(stream, _CHUNK)
    reply.content_length = stop - start
    return reply


def etag_of(body: bytes) -> str:
    """The ETag of bytes: their SHA-256, quoted."""
    return f'"{_sha256(body).hexdigest()}"'


def etag_matches(request: Request, etag: str) -> bool:
    """Whether `If-None-Match` names this ETag (weak comparison, RFC 9110 §13.1.2)."""
    header = request.headers.get("If-None-Match")
    if header is None:
        return False
    known = {part.strip().removeprefix("W/") for part in header.split(",")}
    return "*" in known or etag in known


def _reply(body: bytes, content_type: str, charset: str | None) -> Reply:
    reply = Reply(body)
    # Set whole: WebOb would add a charset of its own to some types.
    reply.headers["Content-Type"] = content_type if charset is None else f"{content_type}; charset={charset}"
    return reply


def _not_modified(etag: str, cache_control: str) -> Reply:
    reply = Reply(status=304)
    reply.headers.pop("Content-Type", None)
    reply.headers.pop("Content-Length", None)
    reply.headers["ETag"] = etag
    reply.headers["Cache-Control"] = cache_control
    return reply


def _range(request: Request, etag: str, length: int) -> tuple[int, int] | None:
    """First byte and the byte after the last, or None for the whole: also for what we do not understand."""
    header = request.headers.get("Range")
    if header is None or request.method != "GET" or request.headers.get("If-Range", etag) != etag:
        return None
    match = _RANGE.fullmatch(header.strip())
    if match is None or not (match[1] or match[2]):
        # Several ranges, another unit or nonsense: RFC 9110 §14.2 lets a server send the whole.
        return None
    if not match[1]:
        start, stop = max(0, length - int(match[2])), length
    else:
        start, stop = int(match[1]), length if not match[2] else min(length, int(match[2]) + 1)
        if match[2] and int(match[2]) < start:
            return None
    if start >= length:
        raise UnsatisfiableRange(length)
    return start, stop


class _Window:
    """Iterates over the next bytes of a stream, for servers without a file wrapper."""

    def __init__(self, stream: BinaryIO, length: int) -> None:
        self._stream = stream
        self._left = length

    def __iter__(self) -> Iterator[bytes]:
        while self._left and (chunk := self._stream.read(min(_CHUNK, self._left))):
            self._left -= len(chunk)
            yield chunk

    def close(self) -> None:
        with suppress(OSError):
            self._stream.close()
