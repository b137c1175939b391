"""Who may say which key signs, as long as a cache may hand it out: the roots of the last hour, and the newest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from securesystemslib.signer import Key
from tuf.api.metadata import Metadata, Root

from gatehouse.tuf.model import Family, OfflineMetadata
from gatehouse.tuf.roles import DELEGATOR, ROOT, SNAPSHOT, TIMESTAMP
from gatehouse.tuf.trusted import OfflineState


@dataclass(frozen=True, kw_only=True, slots=True)
class Authority:
    """The keys of which one must have signed, by their ids, and who says so, such as `root 3`."""

    name: str
    keys: Mapping[str, Key]


@dataclass(frozen=True, kw_only=True, slots=True)
class RootAuthority:
    """What one root says of the online roles that it delegates to itself."""

    version: int
    timestamp: Authority
    snapshot: Authority

    @classmethod
    def parse(cls, item: OfflineMetadata) -> RootAuthority:
        """Read a root that was proved before (`OfflineState.parse`)."""
        root = Metadata[Root].from_bytes(item.data).signed
        return cls(version=item.version, timestamp=_under(root, TIMESTAMP), snapshot=_under(root, SNAPSHOT))


def in_caches(
    roots: Sequence[RootAuthority], added: Mapping[tuple[str, int], datetime], now: datetime, grace: timedelta
) -> list[RootAuthority]:
    """The roots that a client may still be given: the newest, and each whose successor is younger than `grace`.

    Args:
        roots: all roots, in order.
        added: when each version of offline metadata was added, by role and version.
        now: the present moment, aware.
        grace: how long a cache may deny that there is a newer root.
    """
    return [
        root
        for root, successor in zip(roots, [*roots[1:], None], strict=True)
        if successor is None or added[ROOT, successor.version] > now - grace
    ]


def over_bins(state: OfflineState, family: Family) -> Authority:
    """What the offline metadata says of the bins of a family."""
    delegator = state.delegated[DELEGATOR[family]]
    return Authority(
        name=f"{delegator.name} {delegator.version}",
        keys={keyid: state.key(keyid) for keyid in state.bins_keyids[family]},
    )


def _under(root: Root, role: str) -> Authority:
    # One signature never meets a higher threshold: then no key will do.
    keyids = root.roles[role].keyids if root.roles[role].threshold == 1 else []
    return Authority(name=f"root {root.version}", keys={keyid: root.keys[keyid] for keyid in keyids})
