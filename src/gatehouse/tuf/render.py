"""Online roles as bytes: rendered whole from rows, or again from what was committed.

Rules kept here: what the database holds of a role (version, expiry, signatures, digest) and its contents are
enough to write its file again, byte for byte; whoever renders again proves it by the committed digest. So
recovery after a crash rolls forward without a signature, and an ECDSA key, which never signs the same twice,
does no harm. No object is built for a target: rows in, joined bytes out.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import islice

from gatehouse.core.digests import sha256_hex
from gatehouse.core.errors import InternalError
from gatehouse.tuf import canonical
from gatehouse.tuf.model import OnlineRole, RawTarget, TargetColumns

_DIGITS = b"0123456789"
#: Gives a role's signed part for a version and an expiry.
Body = Callable[[int, datetime], bytes]

_DIGEST_BYTES = 32


def entries(rows: Sequence[RawTarget]) -> bytes:
    """The entries of a bin, joined, from the rows of its targets in order.

    Raises:
        InvalidName: a path has characters outside the grammar of target paths.
        InternalError: the rows are not in order, a path stands twice, or a value is out of range.
    """
    return entries_of(TargetColumns.of(rows)) if rows else b""


def entries_of(columns: TargetColumns) -> bytes:
    """The entries of a bin, joined, from the columns of its targets in order.

    Raises:
        InvalidName: a path has characters outside the grammar of target paths.
        InternalError: the targets are not in order, a path stands twice, or a value is out of range.
    """
    paths = canonical.split_paths(columns.paths)
    lengths = columns.lengths.decode("ascii", "replace").split(",")
    if not all(map(operator.lt, paths, islice(paths, 1, None))):
        raise InternalError(f"The targets from {paths[0]} on are not in order, or one stands twice.")
    whole = len(columns.digests) == _DIGEST_BYTES * len(paths) and len(lengths) == len(paths) and all(lengths)
    # Nothing but digits and the commas between: no sign either.
    if not whole or columns.lengths.translate(None, _DIGITS) != b"," * (len(lengths) - 1):
        raise InternalError(f"A target from {paths[0]} on has no SHA-256 or a negative length.")
    digests = columns.digests.hex(",", _DIGEST_BYTES).split(",")
    return ",".join(
        [
            f'"{path}":{{"hashes":{{"sha256":"{digest}"}},"length":{length}}}'
            for path, digest, length in zip(paths, digests, lengths, strict=True)
        ]
    ).encode()


def entries_body(body: bytes) -> Body:
    """The signed part of a bin around these entries, joined and in order."""
    return lambda version, expires: canonical.bin_signed(version, expires, body)


def listing_body(body: bytes) -> Body:
    """The signed part of a snapshot around these entries, joined and in order."""
    return lambda version, expires: canonical.listing_signed(version, expires, body)


def timestamp_body(snapshot: OnlineRole) -> Body:
    """The signed part of a timestamp that names this snapshot."""
    return lambda version, expires: canonical.timestamp_signed(
        version, expires, snapshot.version, snapshot.sha256, snapshot.length
    )


def render_again(role: OnlineRole, body: Body) -> bytes:
    """The file of a committed role, from its contents as they were committed.

    Raises:
        InternalError: the bytes are not those that were committed.
    """
    data = render(role, body)
    if not is_as_committed(role, data):
        raise InternalError(
            f"Version {role.version} of {role.name} renders to other bytes than were committed: "
            "its contents have changed since it was signed."
        )
    return data


def is_as_committed(role: OnlineRole, data: bytes | None) -> bool:
    """Whether these bytes are the role's file as committed."""
    return data is not None and len(data) == role.length and sha256_hex(data) == role.sha256


def render(role: OnlineRole, body: Body) -> bytes:
    """The file of a committed role with another body than it may have had: to compare, never to publish."""
    return canonical.envelope(body(role.version, role.expires), role.signatures)
