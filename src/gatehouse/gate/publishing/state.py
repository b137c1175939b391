"""What a publisher remembers between two publications, so that it need not read it again."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from gatehouse.core.errors import InternalError
from gatehouse.gate.ports import Transaction
from gatehouse.gate.trust import Trust
from gatehouse.tuf.authority import Authority, RootAuthority, over_bins
from gatehouse.tuf.committed import Committed
from gatehouse.tuf.model import BinRef, Family
from gatehouse.tuf.roles import ROOT
from gatehouse.tuf.trusted import OfflineState


@dataclass(kw_only=True, slots=True)
class PublisherState:
    """A copy of what is committed; see `tuf.committed` for why it cannot lie.

    Attributes:
        committed: the online roles.
        marker: tells whether offline metadata was added since.
        added: when each version of offline metadata was added.
        roots: what each root says, in order.
        over_bins: what the offline metadata says of the bins of each family.
        last_commit: the moment of the newest publication; None before the first.
        served: the timestamp and the snapshot that clients see, as files; None before the first.
        offline_stored: whether the store is known to hold all offline metadata.
        to_renew: bins that somebody asked to have signed anew.
    """

    committed: Committed
    marker: tuple[int, int]
    added: dict[tuple[str, int], datetime]
    roots: tuple[RootAuthority, ...]
    over_bins: dict[Family, Authority]
    last_commit: datetime | None
    served: tuple[bytes, bytes] | None = None
    offline_stored: bool = False
    to_renew: set[BinRef] = field(default_factory=set)

    @classmethod
    def load(cls, transaction: Transaction, trust: Trust) -> PublisherState:
        """Read everything: at a take-over, and after an error.

        Raises:
            NotInitialised: no key ceremony has taken place.
        """
        offline = trust.state(transaction)
        added = transaction.signing.offline_added()
        last = transaction.signing.last_publication()
        new_root = last is not None and added[ROOT, offline.root.version] > last.committed_at
        return cls(
            committed=Committed(offline, transaction.signing.online_roles(), new_root=new_root),
            marker=transaction.signing.offline_marker(),
            added=added,
            roots=tuple(map(RootAuthority.parse, offline.roots)),
            over_bins=_over_bins(offline),
            last_commit=None if last is None else last.committed_at,
        )

    def refresh(self, transaction: Transaction, trust: Trust) -> None:
        """Take in offline metadata that another process added meanwhile."""
        marker = transaction.signing.offline_marker()
        if marker == self.marker:
            return
        offline = trust.state(transaction)
        self.committed.take_offline(offline)
        self.marker = marker
        self.added = transaction.signing.offline_added()
        self.roots = tuple(map(RootAuthority.parse, offline.roots))
        self.over_bins = _over_bins(offline)
        self.offline_stored = False

    def served_snapshot(self) -> bytes:
        """The snapshot that clients see.

        Raises:
            InternalError: there is none yet.
        """
        if self.served is None:
            raise InternalError("There is no snapshot yet.")
        return self.served[1]


def _over_bins(offline: OfflineState) -> dict[Family, Authority]:
    return {family: over_bins(offline, family) for family in Family}
