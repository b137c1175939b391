"""The key ceremony: the first version of everything that is signed offline.

Lays down procedure P1's tree with PEP 458's thresholds, and lists a spare online key wherever an online key
stands: bins are delegated by offline metadata, so a key that was not listed beforehand cannot take over
without the offline keys (procedure P2). What leaves here has been verified as the publisher verifies it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from securesystemslib.signer import Key, Signer
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, Role, Root, SuccinctRoles, Targets
from tuf.api.serialization.json import JSONSerializer

from gatehouse.core.errors import OperatorError
from gatehouse.tuf.bins import BinLayout
from gatehouse.tuf.canonical import SPEC_VERSION, whole_second
from gatehouse.tuf.model import OfflineMetadata
from gatehouse.tuf.roles import (
    AUDIT,
    BIN_PREFIX,
    BINS,
    DELEGATOR,
    FILES_BINS,
    ROOT,
    SIMPLE_BINS,
    SNAPSHOT,
    TARGETS,
    TIMESTAMP,
    Lifetimes,
)
from gatehouse.tuf.trusted import OfflineState

#: Every path: what a role that takes all of them is delegated by.
_ALL_PREFIXES = tuple("0123456789abcdef")


@dataclass(frozen=True, kw_only=True, slots=True)
class CeremonyKeys:
    """The keys of a ceremony: offline ones to sign with, online ones to be listed.

    `targets` and `bins` sign together, all of each (PEP 458 recommends two of two); of `root`,
    `root_threshold` are enough. `spare` may sign for every online role and stays sealed until it must.

    Raises:
        OperatorError: a role has no key or has one twice, or the threshold of root is out of range.
    """

    root: tuple[Signer, ...]
    targets: tuple[Signer, ...]
    bins: tuple[Signer, ...]
    audit: Signer
    timestamp: Key
    snapshot: Key
    online_bins: Key
    spare: Key
    root_threshold: int = 2

    def __post_init__(self) -> None:
        for name, signers in ((ROOT, self.root), (TARGETS, self.targets), (BINS, self.bins)):
            if not signers or len({signer.public_key.keyid for signer in signers}) != len(signers):
                raise OperatorError(f"The ceremony needs keys for {name}, each of them once.")
        if not 1 <= self.root_threshold <= len(self.root):
            raise OperatorError(f"Root cannot ask for {self.root_threshold} of {len(self.root)} signatures.")
        online = {key.keyid for key in (self.timestamp, self.snapshot, self.online_bins)}
        if self.spare.keyid in online:
            raise OperatorError("The spare online key must be another key than those in use.")


def development_ceremony(
    keys: CeremonyKeys, layout: BinLayout, lifetimes: Lifetimes, now: datetime
) -> list[OfflineMetadata]:
    """Version 1 of every offline role, signed by keys that are all at hand (so: not for a production index).

    Args:
        keys: who signs and who is listed.
        layout: how many bins there are.
        lifetimes: how long the signatures hold.
        now: the present moment, aware.

    Returns:
        `root`, `targets`, `audit`, `bins`, `simple-bins`, `files-bins`, in this order.

    Raises:
        BadOfflineMetadata: what was signed does not verify.
    """
    moment = whole_second(now)
    targets = _targets(moment + lifetimes.targets)
    targets.delegations = Delegations(
        _by_id([keys.audit.public_key, *_publics(keys.bins)]),
        {
            # In this order: what stands behind a role that takes every path is never reached.
            AUDIT: DelegatedRole(AUDIT, [keys.audit.public_key.keyid], 1, terminating=True, paths=["audit/*"]),
            BINS: _catch_all(BINS, keys.bins),
        },
    )
    bins = _targets(moment + lifetimes.bins)
    bins.delegations = Delegations(
        _by_id(_publics(keys.bins)),
        {
            SIMPLE_BINS: DelegatedRole(
                SIMPLE_BINS, _ids(_publics(keys.bins)), len(keys.bins), terminating=True, paths=["simple/*/*"]
            ),
            FILES_BINS: _catch_all(FILES_BINS, keys.bins),
        },
    )
    items = [
        _signed(ROOT, _root(keys, moment + lifetimes.root), keys.root),
        _signed(TARGETS, targets, keys.targets),
        _signed(AUDIT, _targets(moment + lifetimes.audit), [keys.audit]),
        _signed(BINS, bins, keys.bins),
    ]
    for family, name in DELEGATOR.items():
        online = [keys.online_bins, keys.spare]
        delegator = _targets(moment + lifetimes.bins)
        delegator.delegations = Delegations(
            _by_id(online),
            succinct_roles=SuccinctRoles(_ids(online), 1, layout.bits(family), BIN_PREFIX[family]),
        )
        items.append(_signed(name, delegator, keys.bins))
    OfflineState.parse(items)
    return items


def _root(keys: CeremonyKeys, expires: datetime) -> Root:
    root = Root(1, SPEC_VERSION, expires, consistent_snapshot=True)
    for role, publics, threshold in (
        (ROOT, _publics(keys.root), keys.root_threshold),
        (TARGETS, _publics(keys.targets), len(keys.targets)),
        (TIMESTAMP, [keys.timestamp, keys.spare], 1),
        (SNAPSHOT, [keys.snapshot, keys.spare], 1),
    ):
        root.keys.update(_by_id(publics))
        root.roles[role] = Role(_ids(publics), threshold)
    return root


def _targets(expires: datetime) -> Targets:
    return Targets(1, SPEC_VERSION, expires)


def _catch_all(name: str, signers: Sequence[Signer]) -> DelegatedRole:
    return DelegatedRole(
        name, _ids(_publics(signers)), len(signers), terminating=True, path_hash_prefixes=list(_ALL_PREFIXES)
    )


def _publics(signers: Sequence[Signer]) -> list[Key]:
    return [signer.public_key for signer in signers]


def _ids(keys: Sequence[Key]) -> list[str]:
    return [key.keyid for key in keys]


def _by_id(keys: Sequence[Key]) -> dict[str, Key]:
    return {key.keyid: key for key in keys}


def _signed(role: str, signed: Root | Targets, signers: Sequence[Signer]) -> OfflineMetadata:
    metadata = Metadata[Root](signed) if isinstance(signed, Root) else Metadata[Targets](signed)
    for signer in signers:
        metadata.sign(signer, append=True)
    # Compact JSON with sorted keys is the canonical form, but for keys in PEM: their line ends must be escaped
    # on the wire, or no JSON parser takes the file.
    return OfflineMetadata(role=role, version=signed.version, data=metadata.to_bytes(JSONSerializer(compact=True)))
