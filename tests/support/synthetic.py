"""A TUF repository made with python-tuf alone, one write after the other, to play procedures right and wrong.

The tree is root, then targets, then succinct hash bins. Keys are letters: R signs root, T targets, and those that
a procedure names sign online. Every write is a state of the recording, so each is a crash point too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    SuccinctRoles,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

from gatehouse.conformance.client import as_listed
from gatehouse.conformance.recording import METADATA, TARGETS, Expected, Recorder, Recording

START = datetime(2031, 3, 1, 9, 0, 0, tzinfo=UTC)
PATHS = (
    "files/ham/ham-1.tar.gz",
    "files/spam/spam-1.tar.gz",
    "files/eggs/eggs-1.tar.gz",
    "files/none/none-1.tar.gz",
)
HOUR = timedelta(hours=1)


def signer(letter: str) -> CryptoSigner:
    """The key of a letter, the same in every run."""
    seed = hashlib.sha256(f"synthetic {letter}".encode()).digest()
    return CryptoSigner(Ed25519PrivateKey.from_private_bytes(seed))


def serialised(signed: Any, keys: str) -> bytes:
    """Metadata signed by these keys."""
    metadata: Metadata[Any] = Metadata(signed)
    for letter in keys:
        metadata.sign(signer(letter), append=True)
    return metadata.to_bytes(JSONSerializer(compact=True))


class Synthetic:
    """The repository, and the recording of everything that it served.

    Args:
        online: the keys that the first root and the first delegation list.
        by: the one that signs.
        bits: two to this power is the number of bins.
        life: how long online metadata is valid; offline metadata is for years.
    """

    def __init__(
        self, *, online: str = "A", by: str = "A", bits: int = 1, life: timedelta = timedelta(days=7)
    ) -> None:
        self.now = START
        self.life = life
        self.lapsed = False
        self.quiet = False
        self.versions: dict[str, int] = {}
        self.meta: dict[str, int] = {}
        self.delegated: SuccinctRoles | None = None
        self.targets: dict[str, TargetFile] = {}
        self.visible: dict[str, Expected | None] = {}
        first = self._root_bytes(online)
        self.recorder = Recorder(first, PATHS, complete=True)
        self._write("1.root.json", first, label="the first root")
        self.delegate(online, prefix="bin", bits=bits)
        self.sign_bins(by)
        self.announce(by)

    # --- acts ----------------------------------------------------------------------------------------------------

    def wait(self, span: timedelta) -> None:
        """Let time pass."""
        self.now += span

    def root(self, online: str) -> None:
        """The next root, with these keys for timestamp and snapshot."""
        data = self._root_bytes(online)
        self._write(f"{self.versions['root']}.root.json", data)

    def delegate(self, keys: str, *, prefix: str | None = None, bits: int | None = None) -> None:
        """The next targets metadata, which delegates to bins of these keys; seen with the next snapshot."""
        before = self.delegated
        if before is not None:
            prefix, bits = prefix or before.name_prefix, bits or before.bit_length
        publics = [signer(letter).public_key for letter in keys]
        succinct = SuccinctRoles([key.keyid for key in publics], 1, bits or 1, prefix or "bin")
        signed = Targets(
            self._next("targets"),
            expires=self.now + timedelta(days=3650),
            delegations=Delegations({key.keyid: key for key in publics}, succinct_roles=succinct),
        )
        self.delegated = succinct
        self._write(f"{signed.version}.targets.json", serialised(signed, "T"))
        self.meta["targets"] = signed.version

    def put(self, path: str, edition: int = 1) -> None:
        """Set a target; seen once its bin is signed and announced."""
        data = f"{path} in edition {edition}\n".encode()
        self.targets[path] = TargetFile.from_data(path, data, ["sha256"])
        folder, _, name = path.rpartition("/")
        self.recorder.put(f"{TARGETS}{folder}/{self.targets[path].hashes['sha256']}.{name}", data)

    def sign_bins(
        self, by: str, names: Iterable[str] | None = None, *, succinct: SuccinctRoles | None = None
    ) -> None:
        """The next version of these bins (all), with the targets that lie in them by now."""
        roles = succinct or self.delegated
        assert roles is not None
        for name in sorted(roles.get_roles() if names is None else names):
            targets = {
                path: target for path, target in self.targets.items() if roles.get_role_for_target(path) == name
            }
            signed = Targets(self._next(name), expires=self.now + self.life, targets=targets)
            self._write(f"{signed.version}.{name}.json", serialised(signed, by))
            self.meta[name] = signed.version

    def announce(self, by: str, *, snapshot: str | None = None) -> None:
        """The next snapshot and the timestamp that makes all of it visible."""
        meta = {f"{role}.json": MetaFile(version) for role, version in sorted(self.meta.items())}
        signed = Snapshot(self._next("snapshot"), expires=self.now + self.life, meta=meta)
        data = serialised(signed, snapshot or by)
        self._write(f"{signed.version}.snapshot.json", data)
        self.timestamp(by, signed.version, data)

    def timestamp(self, by: str, snapshot: int | None = None, data: bytes | None = None) -> None:
        """The next timestamp, of this snapshot or of the newest."""
        version = snapshot or self.versions["snapshot"]
        data = data or self.recorder.read(f"{METADATA}{version}.snapshot.json")
        assert data is not None
        meta = MetaFile.from_data(version, data, ["sha256"])
        signed = Timestamp(self._next("timestamp"), expires=self.now + self.life, snapshot_meta=meta)
        self.visible = {path: self._expected(path) for path in PATHS}
        self.lapsed = False
        self._write("timestamp.json", serialised(signed, by), label=f"timestamp {signed.version}")

    def collect(self, names: Iterable[str]) -> None:
        """Delete metadata files."""
        for name in names:
            self.recorder.drop(f"{METADATA}{name}")
            self.note(f"{name} deleted")

    def note(self, label: str) -> None:
        """A state with what is there now."""
        if f"{METADATA}timestamp.json" in self.recorder.files and not self.quiet:
            self.recorder.state(self.now, label, self.visible, lapsed=self.lapsed)

    def recording(self) -> Recording:
        """Everything that was served."""
        return self.recorder.recording()

    # --- parts ---------------------------------------------------------------------------------------------------

    def _root_bytes(self, online: str) -> bytes:
        root = Root(self._next("root"), expires=self.now + timedelta(days=3650), consistent_snapshot=True)
        for role, letters in (("root", "R"), ("targets", "T"), ("snapshot", online), ("timestamp", online)):
            for letter in letters:
                root.add_key(signer(letter).public_key, role)
        return serialised(root, "R")

    def _next(self, role: str) -> int:
        self.versions[role] = self.versions.get(role, 0) + 1
        return self.versions[role]

    def _expected(self, path: str) -> Expected | None:
        if path not in self.targets:
            return None
        listed = as_listed(self.targets[path])
        return Expected(hashes=listed.hashes, length=listed.length, content=True)

    def _write(self, name: str, data: bytes, *, label: str | None = None) -> None:
        self.recorder.put(f"{METADATA}{name}", data)
        self.note(label or f"{name} written")
