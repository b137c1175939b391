"""Canonical JSON (OLPC, as TUF signs it) of the online roles, as bytes, spliced from fragments.

Rules kept here: no object is built for an entry, so that a bin or a snapshot costs one join; the bytes on
the wire are the canonical bytes, so that one digest covers them; a parse and a canonical serialisation give
the same bytes back; text that two canonicalisers could write differently (anything outside plain ASCII, quotes,
backslashes, control characters) is refused, not escaped. Keys stand in canonical order by hand.
Formats: TUF specification sections 4.2 to 4.6; expiry `%Y-%m-%dT%H:%M:%SZ`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from gatehouse.core.errors import InternalError
from gatehouse.core.names import InvalidName
from gatehouse.tuf.model import Target

#: Held fast, not read from the library: an upgrade must not change how a committed version renders.
SPEC_VERSION: Final = "1.0.31"

_PATH = re.compile(r"[A-Za-z0-9._+!~/-]+", re.ASCII)
_IN_PATHS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+!~/-"
_ROLE = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*", re.ASCII)
_HEX = re.compile(r"(?:[0-9a-f]{2})+", re.ASCII)
_SHA256_DIGITS = 64


def format_expiry(expires: datetime) -> str:
    """A moment as TUF writes it.

    Raises:
        InternalError: the moment is not aware, or not a whole second.
    """
    if expires.tzinfo is None or expires.microsecond:
        raise InternalError(f"An expiry must be an aware moment of a whole second, not {expires!r}.")
    return expires.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def whole_second(moment: datetime) -> datetime:
    """The second that a moment lies in, in UTC: metadata knows no finer time.

    Raises:
        InternalError: the moment is not aware, so nobody knows when it is.
    """
    if moment.tzinfo is None:
        raise InternalError("Metadata is signed at an aware moment.")
    return moment.astimezone(UTC).replace(microsecond=0)


def check_paths(paths: Sequence[str]) -> None:
    """Refuse paths that are not canonical as they stand; all at once, because there may be millions.

    Raises:
        InvalidName: one has characters outside the grammar of target paths, or none at all; the first is named.
    """
    if "".join(paths).encode("utf-8", "replace").translate(None, _IN_PATHS) or not all(paths):
        wrong = next(path for path in paths if not _PATH.fullmatch(path))
        raise InvalidName(f"Target path {wrong[:200]!r} has characters outside the grammar of target paths.")


def split_paths(column: bytes) -> list[str]:
    """The paths in a column of them, joined by commas in UTF-8; refused like those of `check_paths`.

    Raises:
        InvalidName: one has characters outside the grammar of target paths, or none at all.
    """
    paths = column.decode("utf-8", "replace").split(",")
    if column.translate(None, _IN_PATHS).strip(b",") or not all(paths):
        check_paths(paths)
    return paths


def target_entry(target: Target) -> bytes:
    """The fragment of one target: `"<path>":{"hashes":{"sha256":"…"},"length":…}`.

    Raises:
        InvalidName: the path has characters outside the grammar of target paths.
        InternalError: the digest is not a SHA-256 in lower-case hexadecimal, or the length is negative.
    """
    if not _PATH.fullmatch(target.path):
        raise InvalidName(f"Target path {target.path[:200]!r} has characters outside the grammar of target paths.")
    if target.length < 0:
        raise InternalError(f"Target {target.path} has the length {target.length}.")
    digest = _sha256(target.sha256, of=target.path)
    return f'"{target.path}":{{"hashes":{{"sha256":"{digest}"}},"length":{target.length:d}}}'.encode()


def targets_signed(version: int, expires: datetime, targets: Iterable[Target]) -> bytes:
    """The signed part of a bin: its targets, in any order, and no delegation.

    Raises:
        InvalidName: a path is outside its grammar.
        InternalError: a path stands twice, or a value is out of range.
    """
    ordered = sorted(targets, key=_path)
    for one, other in itertools.pairwise(ordered):
        if one.path == other.path:
            raise InternalError(f"Target {one.path} stands twice in one bin.")
    return bin_signed(version, expires, b",".join(map(target_entry, ordered)))


def bin_signed(version: int, expires: datetime, body: bytes) -> bytes:
    """The signed part of a bin around its entries, joined and in order: they are taken as they are.

    Raises:
        InternalError: the version or the expiry is out of range.
    """
    head = f'{{"_type":"targets","expires":"{format_expiry(expires)}","spec_version":"{SPEC_VERSION}","targets":{{'
    return b"".join((head.encode(), body, f'}},"version":{_version(version)}}}'.encode()))


def snapshot_signed(
    version: int, expires: datetime, versions: Mapping[str, int], lengths: Mapping[str, int] = MappingProxyType({})
) -> bytes:
    """The signed part of a snapshot.

    Args:
        version: of the snapshot.
        expires: when it ends, aware, whole seconds.
        versions: the version of `targets` and of every delegated role, by role name.
        lengths: the length in bytes of those whose clients must be told it, by role name.

    Raises:
        InternalError: a name, a version or a length is out of its grammar.
    """
    names = sorted(versions, key=snapshot_key)
    body = b",".join([snapshot_entry(name, versions[name], lengths.get(name)) for name in names])
    return listing_signed(version, expires, body)


def snapshot_key(name: str) -> str:
    """What a snapshot sorts a role by: "-" comes before ".", so "bins-x.json" before "bins.json"."""
    return f"{name}.json"


def snapshot_entry(name: str, version: int, length: int | None = None) -> bytes:
    """The fragment of one role: `"<name>.json":{"length":…,"version":…}`, the length only where one is given.

    Raises:
        InternalError: the name, the version or the length is out of its grammar.
    """
    stated = "" if length is None else f'"length":{_version(length)},'
    return f'"{_role(name)}.json":{{{stated}"version":{_version(version)}}}'.encode()


def listing_signed(version: int, expires: datetime, body: bytes) -> bytes:
    """The signed part of a snapshot around its entries, joined and in order: they are taken as they are.

    Raises:
        InternalError: the version or the expiry is out of range.
    """
    head = f'{{"_type":"snapshot","expires":"{format_expiry(expires)}","meta":{{'
    tail = f'}},"spec_version":"{SPEC_VERSION}","version":{_version(version)}}}'
    return b"".join((head.encode(), body, tail.encode()))


def timestamp_signed(
    version: int, expires: datetime, snapshot_version: int, snapshot_sha256: str, snapshot_length: int
) -> bytes:
    """The signed part of a timestamp: the version, digest and length (in bytes) of its snapshot.

    Raises:
        InternalError: a value is out of range.
    """
    digest = _sha256(snapshot_sha256, of="the snapshot")
    return (
        f'{{"_type":"timestamp","expires":"{format_expiry(expires)}","meta":{{"snapshot.json":{{'
        f'"hashes":{{"sha256":"{digest}"}},"length":{_version(snapshot_length)},'
        f'"version":{_version(snapshot_version)}}}}},"spec_version":"{SPEC_VERSION}","version":{_version(version)}}}'
    ).encode()


def envelope(signed: bytes, signatures: Sequence[tuple[str, str]]) -> bytes:
    """The file: the signatures as (key id, hexadecimal signature), and the signed part as it was signed.

    Raises:
        InternalError: there is no signature, one key signs twice, or one is not hexadecimal.
    """
    if not signatures or len({keyid for keyid, _ in signatures}) != len(signatures):
        raise InternalError("Metadata needs a signature, and one of each key.")
    for keyid, signature in signatures:
        if not _HEX.fullmatch(keyid) or not _HEX.fullmatch(signature):
            raise InternalError(f"The signature of key {keyid[:80]!r} is not hexadecimal.")
    body = ",".join(f'{{"keyid":"{keyid}","sig":"{signature}"}}' for keyid, signature in signatures)
    return b"".join((f'{{"signatures":[{body}],"signed":'.encode(), signed, b"}"))


def _path(target: Target) -> str:
    return target.path


def _role(name: str) -> str:
    if not _ROLE.fullmatch(name):
        raise InternalError(f"{name[:80]!r} is not a role name.")
    return name


def _version(number: int) -> int:
    if number < 1:
        raise InternalError(f"Versions and lengths of metadata begin at 1; {number} is none.")
    return number


def _sha256(text: str, *, of: str) -> str:
    if len(text) != _SHA256_DIGITS or not _HEX.fullmatch(text):
        raise InternalError(f"The digest of {of} is not a SHA-256 in lower-case hexadecimal.")
    return text
