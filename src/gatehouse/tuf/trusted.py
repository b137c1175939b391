"""What the offline metadata says: read once, proved, and put into one frozen value.

Rules kept here: every offline signature is verified before anything of it is believed (root by root, then
down the tree, TUF specification section 5.3 and 5.6); two keys never share an id; the tree is the one of
procedure P1, or the state is refused, because a path that a client would look for elsewhere is lost.
Expiry is not judged here: that takes a moment, and `OfflineState.not_after` gives the figure to judge by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final

from securesystemslib.signer import Key
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Signed, SuccinctRoles, Targets
from tuf.ngclient.config import UpdaterConfig

from gatehouse.core.errors import OperatorError
from gatehouse.tuf.bins import BinLayout
from gatehouse.tuf.model import Family, OfflineMetadata
from gatehouse.tuf.roles import (
    AUDIT,
    BIN_PREFIX,
    BINS,
    DELEGATOR,
    FILES_BINS,
    OFFLINE_DELEGATED,
    ROOT,
    SIMPLE_BINS,
    SNAPSHOT,
    TARGETS,
    TIMESTAMP,
)

#: What python-tuf's client takes by default; longer metadata would lock its users out.
_CLIENT: Final = UpdaterConfig()
#: Who delegates to whom, in the order in which it is verified.
_CHAIN = ((ROOT, TARGETS), (TARGETS, AUDIT), (TARGETS, BINS), (BINS, SIMPLE_BINS), (BINS, FILES_BINS))
#: A path of each family, to see where a client would look for it.
_SAMPLES = MappingProxyType({Family.SIMPLE: "simple/name/index.html", Family.FILES: "files/name/name-1.0.tar.gz"})


class BadOfflineMetadata(OperatorError):
    """The offline metadata is incomplete, not signed as it must be, or not the tree of this index."""

    code = "bad-offline-metadata"


@dataclass(frozen=True, kw_only=True, slots=True)
class OfflineRole:
    """The newest version of a role that is signed offline."""

    name: str
    version: int
    expires: datetime
    data: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class OfflineState:
    """All that the offline metadata lays down for the online roles.

    `roots` are all roots in order, `root` the newest; `delegated` the newest version of `targets`, `audit`,
    `bins`, `simple-bins` and `files-bins`; the `…_keyids` say who may sign an online role; `keys` has every
    public key by its id.
    """

    roots: tuple[OfflineMetadata, ...]
    root: OfflineRole
    delegated: Mapping[str, OfflineRole]
    layout: BinLayout
    timestamp_keyids: frozenset[str]
    snapshot_keyids: frozenset[str]
    bins_keyids: Mapping[Family, frozenset[str]]
    keys: Mapping[str, Key]

    @classmethod
    def parse(cls, metadata: Sequence[OfflineMetadata]) -> OfflineState:
        """Read and prove offline metadata, in any order.

        Args:
            metadata: every root from the first on, and at least the newest version of each delegated role.

        Raises:
            BadOfflineMetadata: something is missing, wrongly signed or not the tree of this index.
        """
        try:
            return _parse(metadata)
        except (RepositoryError, ValueError) as error:
            raise BadOfflineMetadata(f"The offline metadata does not verify: {error}.") from error

    def key(self, keyid: str) -> Key:
        """The public key of that id.

        Raises:
            BadOfflineMetadata: the offline metadata names no such key.
        """
        try:
            return self.keys[keyid]
        except KeyError as error:
            raise BadOfflineMetadata(f"The offline metadata names no key {keyid[:80]!r}.") from error

    def authorised(self, role: str) -> frozenset[str]:
        """The ids of the keys that may sign an online role.

        Raises:
            BadOfflineMetadata: nothing delegates to that role.
        """
        if role == TIMESTAMP:
            return self.timestamp_keyids
        if role == SNAPSHOT:
            return self.snapshot_keyids
        ref = self.layout.parse_role(role)
        if ref is None:
            raise BadOfflineMetadata(f"The offline metadata delegates to no online role {role!r}.")
        return self.bins_keyids[ref.family]

    def above(self, role: str) -> tuple[OfflineRole, ...]:
        """The offline roles that an online role rests on, from the root down.

        Raises:
            BadOfflineMetadata: nothing delegates to that role.
        """
        if role in (TIMESTAMP, SNAPSHOT):
            return (self.root,)
        ref = self.layout.parse_role(role)
        if ref is None:
            raise BadOfflineMetadata(f"The offline metadata delegates to no online role {role!r}.")
        return self.above_bins(ref.family)

    def above_bins(self, family: Family) -> tuple[OfflineRole, ...]:
        """The offline roles that the bins of a family rest on, from the root down."""
        return (self.root, self.delegated[TARGETS], self.delegated[BINS], self.delegated[DELEGATOR[family]])

    def not_after(self, role: str) -> datetime:
        """When the first of the offline roles ends that an online role rests on; no client takes it after that."""
        return min(above.expires for above in self.above(role))

    def ends(self) -> tuple[OfflineRole, ...]:
        """All newest offline roles, the one that ends first in front: what the operator must renew next."""
        return tuple(sorted((self.root, *self.delegated.values()), key=lambda role: (role.expires, role.name)))


def route(path: str, delegator: Callable[[str], Targets | None]) -> Iterator[str]:
    """The roles in which a client looks for a target, in order (TUF specification section 5.6.7).

    Args:
        path: the target path.
        delegator: gives the metadata of a role, or None for one that is not at hand; its delegations are
            then not followed.
    """
    to_visit, seen = [TARGETS], set[str]()
    while to_visit:
        name = to_visit.pop()
        if name in seen:
            continue
        seen.add(name)
        yield name
        signed = delegator(name)
        if signed is None or signed.delegations is None:
            continue
        children = []
        for child, terminating in signed.delegations.get_roles_for_target(path):
            children.append(child)
            if terminating:
                to_visit.clear()
                break
        to_visit.extend(reversed(children))


def _parse(metadata: Sequence[OfflineMetadata]) -> OfflineState:
    roots = tuple(sorted((item for item in metadata if item.role == ROOT), key=lambda item: item.version))
    root_signed = _verify_roots(roots)
    newest = _newest([item for item in metadata if item.role != ROOT])
    _refuse_another_layout(metadata)
    signed: dict[str, Targets] = {}
    for parent, child in _CHAIN:
        delegator = root_signed if parent == ROOT else signed[parent]
        signed[child] = _verify(newest[child], delegator)
    _check_tree(signed)
    families = {family: _succinct(signed[DELEGATOR[family]], family) for family in Family}
    return OfflineState(
        roots=roots,
        root=_role(roots[-1], root_signed),
        delegated=MappingProxyType({name: _role(newest[name], signed[name]) for name in newest}),
        layout=BinLayout(
            simple_bits=families[Family.SIMPLE].bit_length, files_bits=families[Family.FILES].bit_length
        ),
        timestamp_keyids=_online_keyids(root_signed, TIMESTAMP),
        snapshot_keyids=_online_keyids(root_signed, SNAPSHOT),
        bins_keyids=MappingProxyType({family: frozenset(role.keyids) for family, role in families.items()}),
        keys=_keys(root_signed, signed),
    )


def _verify_roots(roots: Sequence[OfflineMetadata]) -> Root:
    trusted: Root | None = None
    for item in roots:
        loaded = Metadata[Root].from_bytes(_bounded(item))
        _check_identity(item, loaded.signed)
        if trusted is not None and item.version != trusted.version + 1:
            raise BadOfflineMetadata(f"Root {trusted.version + 1} is missing: roots must follow without a gap.")
        # A new root is signed by the old root's keys and by its own.
        for judge in (trusted or loaded.signed, loaded.signed):
            judge.verify_delegate(ROOT, loaded.signed_bytes, loaded.signatures)
        trusted = loaded.signed
    if trusted is None:
        raise BadOfflineMetadata("There is no root metadata.")
    if not trusted.consistent_snapshot:
        raise BadOfflineMetadata("The root must ask for consistent snapshots (PEP 458).")
    return trusted


def _newest(items: Sequence[OfflineMetadata]) -> dict[str, OfflineMetadata]:
    newest: dict[str, OfflineMetadata] = {}
    for item in items:
        if item.role not in OFFLINE_DELEGATED:
            raise BadOfflineMetadata(f"{item.role[:80]!r} is not a role that is signed offline.")
        if item.role not in newest or newest[item.role].version < item.version:
            newest[item.role] = item
    missing = [name for name in OFFLINE_DELEGATED if name not in newest]
    if missing:
        raise BadOfflineMetadata(f"Offline metadata is missing: {', '.join(missing)}.")
    return newest


def _verify(item: OfflineMetadata, delegator: Root | Targets) -> Targets:
    loaded = Metadata[Targets].from_bytes(_bounded(item))
    _check_identity(item, loaded.signed)
    delegator.verify_delegate(item.role, loaded.signed_bytes, loaded.signatures)
    return loaded.signed


def _bounded(item: OfflineMetadata) -> bytes:
    limit = _CLIENT.root_max_length if item.role == ROOT else _CLIENT.targets_max_length
    if len(item.data) > limit:
        raise BadOfflineMetadata(f"{item.filename} is longer than the {limit:,} bytes that clients take.")
    return item.data


def _check_identity(item: OfflineMetadata, signed: Signed) -> None:
    kind = ROOT if item.role == ROOT else TARGETS
    if signed.type != kind or signed.version != item.version:
        raise BadOfflineMetadata(f"{item.filename} holds version {signed.version} of a {signed.type} role.")


def _check_tree(signed: Mapping[str, Targets]) -> None:
    for name, role in signed.items():
        if role.targets and name != AUDIT:
            raise BadOfflineMetadata(f"{name} lists targets of its own, which would hide those in the bins.")
    for family, path in _SAMPLES.items():
        asked = list(route(path, signed.get))
        if asked[:-1] != [TARGETS, BINS, DELEGATOR[family]]:
            raise BadOfflineMetadata(
                f"A client would look for {path} in {', then '.join(asked)}: "
                f"not the delegations of this index (targets, bins, {DELEGATOR[family]}, a bin)."
            )
    if AUDIT not in route("audit/log", signed.get):
        raise BadOfflineMetadata("targets must delegate audit/* to audit before it delegates to bins.")


def _refuse_another_layout(metadata: Sequence[OfflineMetadata]) -> None:
    """Every version delegates to as many bins: targets are kept by bin, and would be in the wrong one."""
    bits: dict[str, int] = {}
    for item in sorted(metadata, key=lambda item: item.version):
        if item.role not in DELEGATOR.values():
            continue
        delegations = Metadata[Targets].from_bytes(_bounded(item)).signed.delegations
        succinct = None if delegations is None else delegations.succinct_roles
        if succinct is not None and bits.setdefault(item.role, succinct.bit_length) != succinct.bit_length:
            raise BadOfflineMetadata(f"{item.filename} changes the number of bins, which a new version cannot do.")


def _succinct(role: Targets, family: Family) -> SuccinctRoles:
    name = DELEGATOR[family]
    succinct = None if role.delegations is None else role.delegations.succinct_roles
    if succinct is None or succinct.name_prefix != BIN_PREFIX[family]:
        raise BadOfflineMetadata(
            f"{name} must delegate to succinct hash bins named {BIN_PREFIX[family]} (TAP 15)."
        )
    _check_threshold(name, succinct.threshold)
    return succinct


def _online_keyids(root: Root, role: str) -> frozenset[str]:
    _check_threshold(role, root.roles[role].threshold)
    return frozenset(root.roles[role].keyids)


def _check_threshold(role: str, threshold: int) -> None:
    if threshold != 1:
        raise BadOfflineMetadata(
            f"An online role is signed by one key, but the threshold below {role} is {threshold}."
        )


def _keys(root: Root, signed: Mapping[str, Targets]) -> Mapping[str, Key]:
    keys: dict[str, Key] = dict(root.keys)
    for role in signed.values():
        for keyid, key in ({} if role.delegations is None else role.delegations.keys).items():
            # python-tuf takes a key id as it stands; one id for two keys would let one pass for the other.
            if keys.setdefault(keyid, key) != key:
                raise BadOfflineMetadata(f"Two different keys have the id {keyid[:80]}.")
    return MappingProxyType(keys)


def _role(item: OfflineMetadata, signed: Signed) -> OfflineRole:
    return OfflineRole(name=item.role, version=item.version, expires=signed.expires, data=item.data)
