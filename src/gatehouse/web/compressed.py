"""Answers that come compressed to who asks for it: versioned metadata, simple pages, the list of names.

Never a distribution file: its bytes are what was uploaded, and clients count and hash what arrives. Nor the
timestamp, which is small and asked for most: one form of it is what caches hold and what a purge has to reach.
"""

from __future__ import annotations

from collections.abc import Callable

from gatehouse.core.digests import sha256_hex
from gatehouse.core.errors import NotFound, StoreError
from gatehouse.gate.encode import Encodings
from gatehouse.gate.ports import Blobs
from gatehouse.web.codings import choose_coding, varying
from gatehouse.web.replies import Reply, blob_reply, encoded_reply
from gatehouse.web.request import Request


def negotiated_reply(
    request: Request,
    encodings: Encodings,
    name: str,
    read: Callable[[], bytes | None],
    *,
    plain: Callable[[], Reply | None],
    content_type: str,
    cache_control: str,
    charset: str | None = None,
    vary: tuple[str, ...] = (),
    keep: bool = True,
) -> Reply | None:
    """What lies under a name, in the coding that the client likes best.

    Args:
        request: who asks.
        encodings: makes and keeps the compressed forms.
        name: under which nothing else was ever or will ever be.
        read: gives the bytes to compress, or None if there are none.
        plain: the answer without a coding, or None if there is none.
        content_type: of the bytes, as for `charset` and `cache_control`.
        cache_control: how long it may be held.
        charset: of a text.
        vary: other headers that the answer depends on.
        keep: whether a compressed form is worth more than memory.

    Returns:
        The answer, or None if there is nothing under the name.

    Raises:
        NotAcceptable: the client takes no form that we have.
    """
    coding = choose_coding(request)
    if coding is None:
        reply = plain()
    elif (encoded := encodings.get(name, coding, read, keep=keep)) is None:
        reply = None
    else:
        reply = encoded_reply(
            request, encoded, coding, content_type=content_type, cache_control=cache_control, charset=charset
        )
    return None if reply is None else varying(reply, *vary)


def page_reply(
    request: Request,
    *,
    sha256: str,
    length: int,
    content_type: str,
    cache_control: str,
    charset: str | None = None,
    vary: tuple[str, ...] = (),
) -> Reply:
    """A page that is a blob.

    Raises:
        NotAcceptable: the client takes no form that we have.
        UnsatisfiableRange: the one range asked for lies outside the page.
        StoreError: the blob is missing or damaged.
    """
    gatehouse = request.gatehouse

    def plain() -> Reply:
        return blob_reply(
            request,
            gatehouse.blobs,
            sha256=sha256,
            length=length,
            content_type=content_type,
            cache_control=cache_control,
            charset=charset,
        )

    reply = negotiated_reply(
        request,
        gatehouse.page_encodings,
        sha256,
        lambda: _read(gatehouse.blobs, sha256),
        plain=plain,
        content_type=content_type,
        cache_control=cache_control,
        charset=charset,
        vary=vary,
    )
    if reply is None:
        raise StoreError("A page that the catalog names is missing from the store.")
    return reply


def _read(blobs: Blobs, sha256: str) -> bytes | None:
    try:
        with blobs.open(sha256) as blob:
            data = blob.read()
    except NotFound:
        return None
    if sha256_hex(data) != sha256:
        # Compressed and kept, a damaged page would outlive its repair.
        raise StoreError(f"The blob {sha256} is damaged: its bytes have another digest.")
    return data
