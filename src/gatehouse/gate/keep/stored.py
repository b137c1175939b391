"""What the store serves, read and proved as a client would: roots, timestamp, snapshot, delegations, bins.

Rules kept here: trust begins at a root that the caller brings; every signature is verified by the keys of the role
above, whatever a database says; a file is what its name says it is, in its role and version. Expiry is not judged:
what has expired is still what was published, and it is what a repository is mended from.
Implements the TUF specification, sections 5.3 to 5.6 but for expiry.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from types import MappingProxyType
from typing import Any, Final, TypeVar

from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import Signature
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

from gatehouse.core.digests import sha256_hex
from gatehouse.core.errors import GatehouseError, StoreError
from gatehouse.core.names import InvalidName
from gatehouse.tuf import render
from gatehouse.tuf.bins import BinLayout
from gatehouse.tuf.model import BinRef, OfflineMetadata, OnlineRole, RawTarget
from gatehouse.tuf.roles import OFFLINE_DELEGATED, ROOT, SNAPSHOT, TIMESTAMP
from gatehouse.tuf.trusted import BadOfflineMetadata, OfflineState

TIMESTAMP_FILE: Final = f"{TIMESTAMP}.json"
#: Reads a metadata file by name; None: there is none.
Read = Callable[[str], bytes | None]

_NAME = re.compile(r"([1-9][0-9]{0,11})\.([a-z0-9]+(?:-[a-z0-9]+)*)\.json", re.ASCII)
_SIGNED = b',"signed":'
_EXPIRY = "%Y-%m-%dT%H:%M:%SZ"
_T = TypeVar("_T", Root, Timestamp, Snapshot, Targets)


class Unproved(StoreError):
    """A metadata file is missing, altered, cut short, or not signed as it must be. The message names it."""

    code = "unproved-metadata"


def parse_name(name: str) -> tuple[int, str] | None:
    """Version and role of a versioned file's name, or None for any other name."""
    match = _NAME.fullmatch(name)
    return None if match is None else (int(match[1]), match[2])


def file_name(version: int, role: str) -> str:
    """The name of a versioned file."""
    return f"{version}.{role}.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """What the store serves now, proved from the root down to the delegations; the bins are named, not read.

    `versions` and `lengths` are what the snapshot lists, by role name; `files` has the bytes of every root, the
    delegated offline roles, the snapshot and the timestamp, by file name, in the order in which a client asks.
    """

    offline: OfflineState
    timestamp: OnlineRole
    snapshot: OnlineRole
    versions: Mapping[str, int]
    lengths: Mapping[str, int]
    files: Mapping[str, bytes]

    def bins(self) -> list[str]:
        """The names of the bins' files that the snapshot lists, sorted by role."""
        return [file_name(self.versions[role], role) for role in sorted(self.versions) if self.is_bin(role)]

    def is_bin(self, role: str) -> bool:
        """Whether a listed role is signed online."""
        return role not in OFFLINE_DELEGATED


def read_served(read: Read, trusted_root: bytes) -> Served:
    """Read what is served, and prove it from a trusted root.

    Args:
        read: reads a file of the store.
        trusted_root: a root that the store must have under its version; trust begins there.

    Raises:
        Unproved: something is missing or does not verify.
    """
    files: dict[str, bytes] = {}
    roots, root = _roots(read, trusted_root, files)
    # Read once: a publication may move it meanwhile, and what this one names stays there for the grace.
    timestamp_data = _need(read, TIMESTAMP_FILE)
    timestamp_file, timestamp = _load(Timestamp, TIMESTAMP_FILE, timestamp_data)
    _verify_by(root, TIMESTAMP, TIMESTAMP_FILE, timestamp_file)
    meta = timestamp.snapshot_meta
    snapshot_name = file_name(meta.version, SNAPSHOT)
    data = _need(read, snapshot_name)
    if meta.length not in (None, len(data)) or (meta.hashes or {}).get("sha256") != sha256_hex(data):
        raise Unproved(f"{snapshot_name} is not the file that the timestamp names.")
    snapshot_file, snapshot = _load(Snapshot, snapshot_name, data)
    _verify_by(root, SNAPSHOT, snapshot_name, snapshot_file)
    listed = {name.removesuffix(".json"): item for name, item in snapshot.meta.items()}
    items = [*roots]
    for role in OFFLINE_DELEGATED:
        if role not in listed:
            raise Unproved(f"{snapshot_name} does not list {role}.")
        name = file_name(listed[role].version, role)
        files[name] = _need(read, name)
        # Read here too, so that what cannot be read is named; what it says is proved below, with all the others.
        if _load(Targets, name, files[name])[1].version != listed[role].version:
            raise Unproved(f"{name} holds another version.")
        items.append(OfflineMetadata(role=role, version=listed[role].version, data=files[name]))
    files[snapshot_name] = data
    files[TIMESTAMP_FILE] = timestamp_data
    try:
        offline = OfflineState.parse(items)
    except BadOfflineMetadata as error:
        raise Unproved(error.message) from error
    return Served(
        offline=offline,
        timestamp=_online(TIMESTAMP, timestamp_file, timestamp_data),
        snapshot=_online(SNAPSHOT, snapshot_file, data),
        versions=MappingProxyType({role: item.version for role, item in listed.items()}),
        lengths=MappingProxyType({role: item.length for role, item in listed.items() if item.length is not None}),
        files=MappingProxyType(files),
    )


def read_snapshot_versions(data: bytes, version: int, roots: Mapping[int, bytes]) -> Mapping[str, int]:
    """What an older snapshot lists, by role name; any of these roots may have named its key.

    Raises:
        Unproved: it cannot be read, is of another version, or no root's key signed it.
    """
    name = file_name(version, SNAPSHOT)
    loaded, snapshot = _load(Snapshot, name, data)
    if snapshot.version != version:
        raise Unproved(f"{name} holds version {snapshot.version}.")
    for number in sorted(roots, reverse=True):
        root = Metadata[Root].from_bytes(roots[number]).signed
        try:
            _verify_by(root, SNAPSHOT, name, loaded)
        except Unproved:
            continue
        return {item.removesuffix(".json"): meta.version for item, meta in snapshot.meta.items()}
    raise Unproved(f"{name} is signed by no key that any root named for it.")


def read_bin(offline: OfflineState, role: str, version: int, data: bytes) -> tuple[OnlineRole, list[RawTarget]]:
    """Prove a bin's file, and take it apart: the role, and its targets in order.

    Args:
        offline: who may sign it, and which paths belong to it.
        role: the bin's role.
        version: the version that the snapshot lists.
        data: the file.

    Raises:
        Unproved: it does not verify, is another role or version, or lists what does not belong to it.
    """
    name = file_name(version, role)
    signatures, signed = split(name, data)
    verify_bin(offline, role, name, signatures, signed)
    try:
        body = json.loads(signed)
        kind, number = body["_type"], body["version"]
        expires = datetime.strptime(body["expires"], _EXPIRY).replace(tzinfo=UTC)
        rows = [_row(path, entry) for path, entry in body["targets"].items()]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Unproved(f"{name} cannot be read: {type(error).__name__}.") from error
    if kind != "targets" or number != version:
        raise Unproved(f"{name} holds version {number!r} of a {kind!r} role.")
    ref = offline.layout.parse_role(role)
    for path, _, _ in rows:
        if ref is None or _bin_of(offline.layout, path) != ref:
            raise Unproved(f"{name} lists {path[:200]!r}, which does not belong there.")
    found = OnlineRole(
        name=role,
        version=version,
        expires=expires,
        signatures=signatures,
        sha256=sha256_hex(data),
        length=len(data),
    )
    try:
        # What the database will hold must give these bytes again, or recovery could not.
        render.render_again(found, render.entries_body(render.entries(rows)))
    except GatehouseError as error:
        raise Unproved(f"{name} is not in the form in which this index writes bins.") from error
    return found, rows


def verify_bin(
    offline: OfflineState, role: str, name: str, signatures: tuple[tuple[str, str], ...], signed: bytes
) -> None:
    """Prove that a key authorised for a bin signed these bytes.

    Raises:
        Unproved: none did.
    """
    try:
        authorised = offline.authorised(role)
    except BadOfflineMetadata as error:
        raise Unproved(f"No delegation reaches {role}, which the snapshot lists.") from error
    for keyid, signature in signatures:
        if keyid in authorised and _signed_by(offline, keyid, signature, signed):
            return
    raise Unproved(f"{name} is not signed by a key that its delegation names.")


def split(name: str, data: bytes) -> tuple[tuple[tuple[str, str], ...], bytes]:
    """A file's signatures, and its signed part as the bytes that were signed: ours are written canonically.

    Raises:
        Unproved: the file has not this form.
    """
    head, found, tail = data.partition(_SIGNED)
    try:
        envelope = json.loads(head + b"}")
        signatures = tuple((str(item["keyid"]), str(item["sig"])) for item in envelope.pop("signatures"))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Unproved(f"{name} cannot be read: it is damaged or cut short.") from error
    if not found or envelope or not tail.endswith(b"}"):
        raise Unproved(f"{name} cannot be read: it is damaged or cut short.")
    return signatures, tail[:-1]


def _signed_by(offline: OfflineState, keyid: str, signature: str, signed: bytes) -> bool:
    try:
        offline.key(keyid).verify_signature(Signature(keyid, signature), signed)
    except UnverifiedSignatureError:
        return False
    return True


def _row(path: str, entry: Any) -> RawTarget:  # noqa: ANN401 -- what JSON holds
    if (
        set(entry) != {"hashes", "length"}
        or set(entry["hashes"]) != {"sha256"}
        or type(entry["length"]) is not int
    ):
        raise ValueError(path)
    return path, bytes.fromhex(entry["hashes"]["sha256"]), entry["length"]


def _bin_of(layout: BinLayout, path: str) -> BinRef | None:
    try:
        return layout.bin_of(path)
    except InvalidName:
        return None


def _roots(read: Read, trusted_root: bytes, files: dict[str, bytes]) -> tuple[list[OfflineMetadata], Root]:
    """Every root of the store, proved from the trusted one on; those before it are taken along."""
    _, trusted = _load(Root, "the trusted root", trusted_root)
    if _need(read, file_name(trusted.version, ROOT)) != trusted_root:
        raise Unproved(f"{file_name(trusted.version, ROOT)} is not the trusted root.")
    roots: list[OfflineMetadata] = []
    root = trusted
    for version in count(1):
        name = file_name(version, ROOT)
        data = read(name)
        if data is None:
            if version <= trusted.version:
                raise Unproved(f"{name} is missing from the store; clients begin there.")
            break
        if version > trusted.version:
            loaded, new = _load(Root, name, data)
            if new.version != version:
                raise Unproved(f"{name} holds version {new.version}.")
            for judge in (root, new):
                _verify_by(judge, ROOT, name, loaded)
            root = new
        files[name] = data
        roots.append(OfflineMetadata(role=ROOT, version=version, data=data))
    return roots, root


def _need(read: Read, name: str) -> bytes:
    data = read(name)
    if data is None:
        raise Unproved(f"{name} is missing from the store.")
    return data


def _load(kind: type[_T], name: str, data: bytes) -> tuple[Metadata[_T], _T]:
    try:
        loaded: Metadata[_T] = Metadata.from_bytes(data)
    except RepositoryError as error:
        raise Unproved(f"{name} cannot be read: it is damaged or cut short.") from error
    if not isinstance(loaded.signed, kind):
        raise Unproved(f"{name} holds a {loaded.signed.type} role.")
    return loaded, loaded.signed


def _verify_by(judge: Root, role: str, name: str, loaded: Metadata[Any]) -> None:
    try:
        judge.verify_delegate(role, loaded.signed_bytes, loaded.signatures)
    except (RepositoryError, ValueError) as error:
        raise Unproved(f"{name} is not signed as its root asks.") from error


def _online(role: str, loaded: Metadata[Any], data: bytes) -> OnlineRole:
    signed = loaded.signed
    return OnlineRole(
        name=role,
        version=signed.version,
        expires=signed.expires.replace(tzinfo=UTC),
        signatures=tuple((keyid, signature.signature) for keyid, signature in loaded.signatures.items()),
        sha256=sha256_hex(data),
        length=len(data),
    )
