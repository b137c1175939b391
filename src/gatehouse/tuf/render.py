"""Online roles as bytes: signed anew, or rendered again from what was committed.

Rules kept here: what the database holds of a role (version, expiry, signatures, digest) and its contents are
enough to write its file again, byte for byte; whoever renders again proves it by the committed digest. So
recovery after a crash rolls forward without a signature, and an ECDSA key, which never signs the same twice,
does no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from gatehouse.core.digests import sha256_hex
from gatehouse.core.errors import InternalError
from gatehouse.tuf import canonical
from gatehouse.tuf.model import OnlineRole, Target

#: Gives a role's signed part for a version and an expiry.
Body = Callable[[int, datetime], bytes]


def bin_body(targets: Iterable[Target]) -> Body:
    """The body of a bin with these targets."""
    return lambda version, expires: canonical.targets_signed(version, expires, targets)


def snapshot_body(versions: Mapping[str, int], lengths: Mapping[str, int]) -> Body:
    """The body of a snapshot of these versions and stated lengths, by role name."""
    return lambda version, expires: canonical.snapshot_signed(version, expires, versions, lengths)


def timestamp_body(snapshot: OnlineRole) -> Body:
    """The body of a timestamp that names this snapshot."""
    return lambda version, expires: canonical.timestamp_signed(
        version, expires, snapshot.version, snapshot.sha256, snapshot.length
    )


def render_bin_again(role: OnlineRole, targets: Iterable[Target]) -> bytes:
    """The file of a committed bin, from its targets as they were committed.

    Raises:
        InternalError: the bytes are not those that were committed.
    """
    return _again(role, bin_body(targets))


def render_snapshot_again(role: OnlineRole, versions: Mapping[str, int], lengths: Mapping[str, int]) -> bytes:
    """The file of a committed snapshot, from what it listed (`plan.snapshot_versions`, `plan.snapshot_lengths`).

    Raises:
        InternalError: the bytes are not those that were committed.
    """
    return _again(role, snapshot_body(versions, lengths))


def render_timestamp_again(role: OnlineRole, snapshot: OnlineRole) -> bytes:
    """The file of a committed timestamp, from the snapshot that it named.

    Raises:
        InternalError: the bytes are not those that were committed.
    """
    return _again(role, timestamp_body(snapshot))


def is_as_committed(role: OnlineRole, data: bytes) -> bool:
    """Whether these bytes are the role's file as committed."""
    return len(data) == role.length and sha256_hex(data) == role.sha256


def render(role: OnlineRole, body: Body) -> bytes:
    """The file of a committed role with another body than it may have had: to compare, never to publish."""
    return canonical.envelope(body(role.version, role.expires), role.signatures)


def _again(role: OnlineRole, body: Body) -> bytes:
    data = render(role, body)
    if not is_as_committed(role, data):
        raise InternalError(
            f"Version {role.version} of {role.name} renders to other bytes than were committed: "
            "its contents have changed since it was signed."
        )
    return data
