"""What a state's metadata says, read with python-tuf's parser and without judging it: for whoever looks beside.

Nothing here is trusted: a file that cannot be read is simply not there, and the client says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp
from tuf.api.serialization import DeserializationError

from gatehouse.conformance.recording import METADATA, TARGETS, TIMESTAMP, State, is_root

_TOP = "targets"
_Kind = TypeVar("_Kind", Root, Timestamp, Snapshot, Targets)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """A role that a client would look for in a state and not get, and why."""

    role: str
    reason: str


@dataclass(kw_only=True, slots=True)
class Reader:
    """Reads the metadata of states, each file once. `objects` are the bytes of their files, by digest."""

    objects: Mapping[str, bytes]
    _parsed: dict[str, Metadata[Any] | None] = field(default_factory=dict)
    _signed: dict[tuple[str, str, str], str | None] = field(default_factory=dict)

    def timestamp(self, state: State) -> Timestamp | None:
        """The timestamp of a state."""
        return self._read(state, TIMESTAMP, Timestamp)

    def root(self, state: State) -> Root | None:
        """The newest root of a state."""
        return self._read(state, f"{METADATA}{state.root_version()}.root.json", Root)

    def snapshot(self, state: State) -> tuple[str, Snapshot] | None:
        """The snapshot that the timestamp of a state names, and its file name."""
        timestamp = self.timestamp(state)
        if timestamp is None:
            return None
        name = self._name(state, "snapshot", timestamp.snapshot_meta.version)
        snapshot = self._read(state, name, Snapshot)
        return None if snapshot is None else (name, snapshot)

    def live(self, state: State) -> dict[str, str]:
        """The files of a state that a client which begins now can ask for: digests by name."""
        wanted = {TIMESTAMP}
        found = self.snapshot(state)
        if found is not None:
            name, snapshot = found
            wanted.add(name)
            for listed, meta in snapshot.meta.items():
                wanted.add(self._name(state, listed.removesuffix(".json"), meta.version))
        return {
            name: digest
            for name, digest in state.files.items()
            if name in wanted or is_root(name) or name.startswith(TARGETS)
        }

    def expires(self, state: State, name: str) -> datetime | None:
        """When a metadata file of a state expires; None if it is none, or cannot be read."""
        digest = state.files.get(name) if name.startswith(METADATA) else None
        metadata = None if digest is None else self._parse(digest)
        return None if metadata is None else metadata.signed.expires

    def missing(self, state: State) -> Iterator[Fault]:
        """Every role of a state that a delegation reaches and a client would not get, from the top down.

        A snapshot may list roles that nothing delegates to any more; those need no file.
        """
        root, found = self.root(state), self.snapshot(state)
        if root is None or found is None:
            yield Fault(role="snapshot", reason="the root, the timestamp or the snapshot that it names is missing")
            return
        listed = {name.removesuffix(".json"): meta for name, meta in found[1].meta.items()}
        root_name = f"{METADATA}{state.root_version()}.root.json"
        todo: list[tuple[str, str, Root | Targets]] = [(_TOP, state.files[root_name], root)]
        seen: set[tuple[str, str]] = set()
        while todo:
            role, above, delegator = todo.pop()
            if (role, above) in seen:
                continue
            seen.add((role, above))
            if role not in listed:
                yield Fault(role=role, reason="it is delegated to, and the snapshot does not list it")
                continue
            name = self._name(state, role, listed[role].version)
            digest = state.files.get(name)
            if digest is None:
                yield Fault(role=role, reason=f"the snapshot lists it, and {name} is missing")
                continue
            reason = self._refusal(role, above, delegator, digest)
            if reason is not None:
                yield Fault(role=role, reason=f"{name} does not verify: {reason}")
                continue
            targets = self._read(state, name, Targets)
            if targets is not None:
                todo += [(child, digest, targets) for child in _children(targets)]

    def _refusal(self, role: str, above: str, delegator: Root | Targets, digest: str) -> str | None:
        """Why the file is not what the delegator asks for; None if it is. Judged once for each pair of files."""
        key = (role, above, digest)
        if key not in self._signed:
            self._signed[key] = self._judge(role, delegator, digest)
        return self._signed[key]

    def _judge(self, role: str, delegator: Root | Targets, digest: str) -> str | None:
        metadata = self._parse(digest)
        if metadata is None or not isinstance(metadata.signed, Targets):
            return "it is no targets metadata"
        try:
            delegator.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
        except (RepositoryError, ValueError) as error:
            return str(error)
        return None

    def _name(self, state: State, role: str, version: int) -> str:
        root = self.root(state)
        versioned = root is None or bool(root.consistent_snapshot)
        quoted = quote(role, "")
        return f"{METADATA}{version}.{quoted}.json" if versioned else f"{METADATA}{quoted}.json"

    def _read(self, state: State, name: str, kind: type[_Kind]) -> _Kind | None:
        digest = state.files.get(name)
        metadata = None if digest is None else self._parse(digest)
        return metadata.signed if metadata is not None and isinstance(metadata.signed, kind) else None

    def _parse(self, digest: str) -> Metadata[Any] | None:
        if digest not in self._parsed:
            try:
                self._parsed[digest] = Metadata.from_bytes(self.objects[digest])
            except DeserializationError:
                self._parsed[digest] = None
        return self._parsed[digest]


def versions(files: Mapping[str, str]) -> dict[str, dict[int, str]]:
    """Every versioned role among some files: the digests by version."""
    found: dict[str, dict[int, str]] = {}
    for name, digest in files.items():
        number, dot, role = name.removeprefix(METADATA).partition(".")
        if name.startswith(METADATA) and dot and number.isdecimal():
            found.setdefault(role, {})[int(number)] = digest
    return found


def _children(targets: Targets) -> list[str]:
    delegations = targets.delegations
    if delegations is None:
        return []
    if delegations.succinct_roles is not None:
        return list(delegations.succinct_roles.get_roles())
    return list(delegations.roles or {})
