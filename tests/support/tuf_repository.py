"""A small TUF repository in memory, published with the signing wing, for tests of whoever signs or verifies."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner, Signer
from tuf.api.metadata import Metadata
from tuf.api.serialization.json import JSONSerializer

from gatehouse.core.errors import NotFound
from gatehouse.tuf.bins import BinLayout
from gatehouse.tuf.canonical import target_entry
from gatehouse.tuf.ceremony import CeremonyKeys, development_ceremony
from gatehouse.tuf.committed import Committed
from gatehouse.tuf.model import BinRef, OfflineMetadata, OnlineRole, Target
from gatehouse.tuf.plan import Draft, OnlineSigners, SignedRole, plan
from gatehouse.tuf.rehearse import rehearse
from gatehouse.tuf.roles import ROOT, SNAPSHOT, TIMESTAMP, Lifetimes
from gatehouse.tuf.trusted import OfflineState

START = datetime(2030, 1, 1, 12, 0, 0, tzinfo=UTC)
LAYOUT = BinLayout(simple_bits=2, files_bits=3)


def fixed_signer(name: str) -> CryptoSigner:
    """An Ed25519 key that is the same in every run: its seed is the digest of its name."""
    return CryptoSigner(Ed25519PrivateKey.from_private_bytes(hashlib.sha256(f"test key {name}".encode()).digest()))


def fixed_keys(*, online: str = "online") -> CeremonyKeys:
    """The keys of a ceremony, the same in every run."""
    return CeremonyKeys(
        root=tuple(fixed_signer(f"root{number}") for number in (1, 2, 3)),
        targets=(fixed_signer("targets1"), fixed_signer("targets2")),
        bins=(fixed_signer("bins1"), fixed_signer("bins2")),
        audit=fixed_signer("audit"),
        timestamp=fixed_signer(f"{online}-timestamp").public_key,
        snapshot=fixed_signer(f"{online}-snapshot").public_key,
        online_bins=fixed_signer(f"{online}-bins").public_key,
        spare=fixed_signer("spare").public_key,
    )


def online_signers(online: str = "online") -> OnlineSigners:
    """The online keys that go with `fixed_keys`."""
    return OnlineSigners(
        timestamp=fixed_signer(f"{online}-timestamp"),
        snapshot=fixed_signer(f"{online}-snapshot"),
        bins=fixed_signer(f"{online}-bins"),
    )


def content(path: str, edition: int = 1) -> bytes:
    """What lies behind a target path, in some edition."""
    return f"{path} in edition {edition}\n".encode()


def target(path: str, edition: int = 1) -> Target:
    """The target of that content."""
    data = content(path, edition)
    return Target(path=path, sha256=hashlib.sha256(data).hexdigest(), length=len(data))


def timestamp_of(draft: Draft) -> SignedRole:
    """The timestamp of a draft that is no chunk."""
    assert draft.timestamp is not None
    return draft.timestamp


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What clients could see after one publication."""

    timestamp: bytes
    version: int
    targets: Mapping[str, Target]
    now: datetime
    root: int


@dataclass(kw_only=True)
class Repository:
    """Publishes as the publisher would, and keeps every file and every state that clients could have seen.

    `files` are the metadata files and hash-prefixed targets by URL path; `history` is what they
    could see after each publication.
    """

    keys: CeremonyKeys = field(default_factory=fixed_keys)
    signers: OnlineSigners = field(default_factory=online_signers)
    layout: BinLayout = LAYOUT
    lifetimes: Lifetimes = field(default_factory=Lifetimes)
    now: datetime = START
    files: dict[str, bytes] = field(default_factory=dict)
    online: dict[str, OnlineRole] = field(default_factory=dict)
    targets: dict[str, Target] = field(default_factory=dict)
    offline: list[OfflineMetadata] = field(default_factory=list)
    history: list[Seen] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.offline:
            self.add_offline(development_ceremony(self.keys, self.layout, self.lifetimes, self.now))

    @property
    def state(self) -> OfflineState:
        """What the offline metadata says now."""
        return OfflineState.parse(self.offline)

    def add_offline(self, items: list[OfflineMetadata]) -> None:
        """Take new offline metadata and put its files where clients find them."""
        self.offline += items
        self.files.update((f"metadata/{item.filename}", item.data) for item in items)

    def resign(
        self, role: str, change: Callable[[Any], None] | None = None, *, signers: Sequence[Signer] = ()
    ) -> OfflineMetadata:
        """The next version of an offline role, changed and signed with the ceremony's keys, not yet taken."""
        newest = max((item for item in self.offline if item.role == role), key=lambda item: item.version)
        metadata: Metadata[Any] = Metadata.from_bytes(newest.data)
        metadata.signed.version += 1
        if change is not None:
            change(metadata.signed)
        metadata.signatures.clear()
        own = {"root": self.keys.root, "targets": self.keys.targets, "audit": (self.keys.audit,)}
        for signer in signers or own.get(role, self.keys.bins):
            metadata.sign(signer, append=True)
        data = metadata.to_bytes(JSONSerializer(compact=True))
        return OfflineMetadata(role=role, version=metadata.signed.version, data=data)

    def contents(self, ref: BinRef) -> list[Target]:
        """The targets of a bin."""
        return [item for path, item in self.targets.items() if self.layout.bin_of(path) == ref]

    def body(self, ref: BinRef) -> bytes:
        """The entries of a bin, joined."""
        return b",".join(map(target_entry, sorted(self.contents(ref), key=lambda item: item.path)))

    @property
    def committed(self) -> Committed:
        """What is committed, as a publisher that has just started reads it."""
        root = max(item.version for item in self.offline if item.role == ROOT)
        return Committed(self.state, self.online, new_root=bool(self.history) and root > self.history[-1].root)

    def put(self, path: str, edition: int = 1) -> BinRef:
        """Set a target; the bin that it changes."""
        item = target(path, edition)
        self.targets[path] = item
        folder, _, name = path.rpartition("/")
        self.files[f"targets/{folder}/{item.sha256}.{name}"] = content(path, edition)
        return self.layout.bin_of(path)

    def remove(self, path: str) -> BinRef:
        """Remove a target; the bin that it changes."""
        if self.targets.pop(path, None) is None:
            raise NotFound(f"There is no target {path}.")
        return self.layout.bin_of(path)

    def draft(self, changed: set[BinRef] | None = None, **options: bool) -> Draft:
        """Plan a publication of these bins and of those that are due."""
        committed = self.committed
        refs = {*(changed or set()), *committed.missing, *committed.bins_due(self.lifetimes, self.now, limit=100)}
        return plan(
            committed=committed,
            bins={ref: self.body(ref) for ref in refs},
            signers=self.signers,
            lifetimes=self.lifetimes,
            now=self.now,
            **options,
        )

    def rehearse(self, draft: Draft, expected: Mapping[str, Target | None] | None = None) -> None:
        """Rehearse a draft against what is served now."""
        state = self.state
        rehearse(
            roots=[item.data for item in state.roots],
            offline={name: role.data for name, role in state.delegated.items()},
            previous=self.previous(),
            timestamp=timestamp_of(draft).data,
            snapshot=self.snapshot() if draft.snapshot is None else draft.snapshot.data,
            bins={item.role.name: item.data for item in draft.bins},
            expected=expected or {},
            layout=self.layout,
            now=self.now,
        )

    def previous(self) -> tuple[bytes, bytes] | None:
        """The timestamp and the snapshot that are served now."""
        return (self.files["metadata/timestamp.json"], self.snapshot()) if self.history else None

    def snapshot(self) -> bytes:
        """The snapshot that is served now."""
        return self.files[f"metadata/{self.online[SNAPSHOT].version}.snapshot.json"]

    def apply(self, draft: Draft) -> None:
        """Make a draft visible: immutable files first, the timestamp last."""
        for item in draft.signed[:-1]:
            if f"metadata/{item.filename}" in self.files:
                raise AssertionError(f"{item.filename} would be overwritten")
            self.files[f"metadata/{item.filename}"] = item.data
        self.online.update((item.role.name, item.role) for item in draft.signed)
        timestamp = timestamp_of(draft)
        self.files["metadata/timestamp.json"] = timestamp.data
        self.history.append(
            Seen(
                timestamp=timestamp.data,
                version=timestamp.role.version,
                targets=dict(self.targets),
                now=self.now,
                root=self.state.root.version,
            )
        )

    def publish(self, changed: set[BinRef] | None = None, **options: bool) -> Draft:
        """Plan, rehearse and make visible."""
        draft = self.draft(changed, **options)
        before = self.history[-1].targets if self.history else {}
        paths = [path for path in {**before, **self.targets} if before.get(path) != self.targets.get(path)]
        self.rehearse(draft, {path: self.targets.get(path) for path in paths})
        self.apply(draft)
        return draft

    def advance(self, by: timedelta) -> None:
        """Let time pass."""
        self.now += by

    @property
    def timestamp(self) -> OnlineRole:
        """The timestamp as committed."""
        return self.online[TIMESTAMP]
