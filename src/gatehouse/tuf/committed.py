"""What is committed of the online roles, held in memory so that a publication costs what it changes.

The snapshot's entries are kept as encoded fragments, in order, and the ends of the bins in heaps: what is due is
found without looking at what is not. The copy cannot lie: only the publisher writes the tables that it copies,
every commit proves its lease, each commit is applied here, and after any error the publisher drops the copy and
reads a new one. Rules kept here: a snapshot never loses a name, even of a bin that no delegation reaches any more;
a bin is renewed only if the renewal outlives it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from types import MappingProxyType

from gatehouse.core.errors import InternalError
from gatehouse.tuf import canonical, render
from gatehouse.tuf.bins import BinLayout
from gatehouse.tuf.model import BinRef, Family, OnlineRole
from gatehouse.tuf.roles import (
    BINS,
    RENEW_AT,
    RIDE_FROM,
    SNAPSHOT,
    TARGETS,
    TIMESTAMP,
    Lifetimes,
    catch_up_at,
    due_until,
    is_due,
    renew_after,
)
from gatehouse.tuf.trusted import OfflineRole, OfflineState

#: From this length on, in bytes, a bin's length stands in the snapshot; clients take 5,000,000 without.
LENGTH_STATED_ABOVE = 4_000_000


class Committed:
    """The committed online roles under some offline metadata. Not safe for several threads.

    Attributes:
        offline: what the offline metadata lays down.
        snapshot: the snapshot as committed; None before the first.
        timestamp: the timestamp as committed; None before the first.
        stale: whether offline metadata was added that the snapshot does not follow yet.
        missing: the bins of the layout that were never signed.
        unauthorised: those whose key may sign no longer.
    """

    def __init__(self, offline: OfflineState, online: Mapping[str, OnlineRole], *, new_root: bool = False) -> None:
        """Build it from the whole state.

        Args:
            offline: what the offline metadata lays down.
            online: the committed state of every online role, by name.
            new_root: whether a root was added after the newest publication was committed.
        """
        self._roles = {name: role for name, role in online.items() if name not in (SNAPSHOT, TIMESTAMP)}
        self.snapshot = online.get(SNAPSHOT)
        self.timestamp = online.get(TIMESTAMP)
        self.take_offline(offline)
        # The committed digest says what the snapshot listed: if the fragments give other bytes, it lists others.
        listed = self.snapshot is not None and render.is_as_committed(
            self.snapshot, render.render(self.snapshot, render.listing_body(b",".join(self._fragments)))
        )
        self.stale = new_root or not listed

    def take_offline(self, offline: OfflineState) -> None:
        """Go on under other offline metadata. A snapshot must follow: it pins that metadata's versions."""
        self.offline = offline
        self.stale = True
        self.missing: set[BinRef] = set()
        self.unauthorised: set[BinRef] = set()
        self._heaps: dict[Family, list[tuple[datetime, str]]] = {}
        for family in Family:
            authorised = offline.bins_keyids[family]
            heap = self._heaps[family] = []
            for name, ref in bins_by_name(offline.layout, family).items():
                role = self._roles.get(name)
                if role is None:
                    self.missing.add(ref)
                    continue
                heap.append((role.expires, name))
                if authorised.isdisjoint(keyid for keyid, _ in role.signatures):
                    self.unauthorised.add(ref)
            heapq.heapify(heap)
        self._index()

    def apply(self, roles: Iterable[OnlineRole]) -> None:
        """These roles were committed."""
        grown = False
        for role in roles:
            if role.name == TIMESTAMP:
                self.timestamp = role
            elif role.name == SNAPSHOT:
                self.snapshot = role
                self.stale = False
            else:
                grown |= role.name not in self._position
                self._take_bin(role)
        if grown:
            self._index()

    def role(self, name: str) -> OnlineRole | None:
        """The committed state of an online role; None if it was never signed."""
        if name == SNAPSHOT:
            return self.snapshot
        return self.timestamp if name == TIMESTAMP else self._roles.get(name)

    def names(self, bins: Iterable[OnlineRole] = ()) -> set[str]:
        """All that a snapshot lists, once these bins are committed."""
        return self._position.keys() | {role.name for role in bins}

    def bins(self) -> Sequence[OnlineRole]:
        """Every bin that was ever signed."""
        return list(self._roles.values())

    def snapshot_body(self, bins: Iterable[OnlineRole] = ()) -> bytes:
        """The entries of a snapshot, joined, once these bins are committed.

        Raises:
            InternalError: a bin of the layout would not exist.
        """
        made = {role.name: role for role in bins}
        missing = {self.offline.layout.role_name(ref) for ref in self.missing} - made.keys()
        if missing:
            raise InternalError(
                f"{len(missing)} bins would not exist, {min(missing)} among them: TAP 15 wants all."
            )
        fragments = self._fragments.copy()
        grown: list[tuple[str, bytes]] = []
        for name, role in made.items():
            if name in self._position:
                fragments[self._position[name]] = _fragment(role)
            else:
                grown.append((canonical.snapshot_key(name), _fragment(role)))
        if grown:
            grown += zip(map(canonical.snapshot_key, self._position), fragments, strict=True)
            fragments = [fragment for _, fragment in sorted(grown)]
        return b",".join(fragments)

    # --- what is due ---------------------------------------------------------------------------------------------

    def bins_due(
        self, lifetimes: Lifetimes, now: datetime, *, limit: int, fraction: float = RIDE_FROM
    ) -> list[BinRef]:
        """Bins to sign although none of their targets changed, the most urgent first.

        Those signed by a key that is no longer authorised, then those near the end of their life.

        Args:
            lifetimes: how long signatures hold.
            now: the present moment, aware.
            limit: at most so many.
            fraction: how much of a bin's life may have passed.
        """
        reachable = set(Family) - self.ended_families(now)
        # What rests on ended metadata cannot be helped from here, and must not keep the rest from renewal.
        found = sorted(ref for ref in self.unauthorised if ref.family in reachable)[:limit]
        ends: list[tuple[datetime, BinRef]] = []
        for family in sorted(reachable):
            ends += self._ending(family, due_until(lifetimes.bin_n, now, fraction), limit - len(found))
        seen = set(found)
        return [*found, *(ref for _, ref in sorted(ends) if ref not in seen)][:limit]

    def needs_publication(self, lifetimes: Lifetimes, now: datetime) -> str | None:
        """Why a publication is needed although nothing has changed, in a word or two; None if it is not.

        Args:
            lifetimes: how long signatures hold.
            now: the present moment, aware.
        """
        timestamp, snapshot = self.timestamp, self.snapshot
        if any(role.expires <= now for role in always_needed(self.offline)):
            # The plan will say which: better a loud failure now than a silent end for every client.
            return "offline metadata has ended"
        if timestamp is None or snapshot is None or self.missing:
            return "roles are missing"
        reasons: tuple[tuple[str, Callable[[], object]], ...] = (
            ("keys have changed", lambda: not (self.is_authorised(timestamp) and self.is_authorised(snapshot))),
            ("bins are due", lambda: self._bins_wait(now) or self._catch_up(lifetimes) <= now),
            ("the snapshot is due", lambda: self.is_due(snapshot, lifetimes.snapshot, now)),
            ("the timestamp is due", lambda: self.is_due(timestamp, lifetimes.timestamp, now)),
            ("offline metadata is new", lambda: self.stale),
        )
        return next((reason for reason, holds in reasons if holds()), None)

    def next_due(self, lifetimes: Lifetimes, now: datetime) -> datetime:
        """When the next publication is needed if nothing changes: `now` if one is needed already.

        A loop may sleep until then. The end of offline metadata counts too: that moment wants a person.
        """
        if self.needs_publication(lifetimes, now):
            return now
        moments = [role.expires for role in always_needed(self.offline)]
        moments += [
            renew_after(role.expires, lifetime)
            for role, lifetime in ((self.timestamp, lifetimes.timestamp), (self.snapshot, lifetimes.snapshot))
            if role is not None and role.expires < self.offline.not_after(role.name)
        ]
        return max(min(*moments, self._catch_up(lifetimes)), now)

    def ended_families(self, now: datetime) -> set[Family]:
        """The families whose bins no client takes any more, because offline metadata above them has ended."""
        return {family for family in Family if now >= self._not_after(family)}

    def is_due(self, role: OnlineRole, lifetime: timedelta, now: datetime, fraction: float = RENEW_AT) -> bool:
        """Whether the snapshot or the timestamp is near the end of its life, and a renewal would outlive it."""
        not_after = self.offline.not_after(role.name)
        return now < not_after and is_due(role, lifetime, now, fraction, not_after=not_after)

    def is_authorised(self, role: OnlineRole) -> bool:
        """Whether the key that signed a role may still sign it."""
        return not self.offline.authorised(role.name).isdisjoint(keyid for keyid, _ in role.signatures)

    def _bins_wait(self, now: datetime) -> bool:
        return any(now < self._not_after(ref.family) for ref in self.unauthorised)

    def _catch_up(self, lifetimes: Lifetimes) -> datetime:
        """When the first bin that nothing carried along must be renewed for its own sake."""
        ends = [self._first_end(family) for family in Family]
        return min(
            (catch_up_at(end, lifetimes.bin_n) for end in ends if end is not None),
            default=datetime.max.replace(tzinfo=self.offline.root.expires.tzinfo),
        )

    def _first_end(self, family: Family) -> datetime | None:
        """The earliest end among the bins of a family, if a renewal would outlive it."""
        heap = self._heaps[family]
        while heap and self._roles[heap[0][1]].expires != heap[0][0]:
            heapq.heappop(heap)
        # All others end later, so if this one lives as long as what it rests on, they do too.
        return heap[0][0] if heap and heap[0][0] < self._not_after(family) else None

    def _ending(self, family: Family, deadline: datetime, limit: int) -> list[tuple[datetime, BinRef]]:
        heap = self._heaps[family]
        taken: dict[str, datetime] = {}
        while len(taken) < limit and (end := self._first_end(family)) is not None and end <= deadline:
            # A bin that was renewed to the same end stands there twice; once is enough.
            taken[heapq.heappop(heap)[1]] = end
        for name, end in taken.items():
            heapq.heappush(heap, (end, name))
        names = bins_by_name(self.offline.layout, family)
        return [(end, names[name]) for name, end in taken.items()]

    def _not_after(self, family: Family) -> datetime:
        return min(role.expires for role in self.offline.above_bins(family))

    # --- the indexes ---------------------------------------------------------------------------------------------

    def _index(self) -> None:
        versions = {name: role.version for name, role in self.offline.delegated.items()}
        fragments = _fragments(self._roles.values(), versions)
        names = sorted(fragments, key=canonical.snapshot_key)
        self._fragments = [fragments[name] for name in names]
        self._position = {name: number for number, name in enumerate(names)}

    def _take_bin(self, role: OnlineRole) -> None:
        ref = self.offline.layout.parse_role(role.name)
        if ref is None:
            raise InternalError(f"No delegation of this layout reaches {role.name}.")
        self._roles[role.name] = role
        self.missing.discard(ref)
        self.unauthorised.discard(ref)
        if role.name in self._position:
            self._fragments[self._position[role.name]] = _fragment(role)
        heap = self._heaps[ref.family]
        heapq.heappush(heap, (role.expires, role.name))
        # A renewal leaves the old end in the heap; now and then it is made anew, without those.
        if len(heap) > 4 * self.offline.layout.count(ref.family):
            heap[:] = [(self._roles[name].expires, name) for name in {name for _, name in heap}]
            heapq.heapify(heap)


@lru_cache(maxsize=8)
def bins_by_name(layout: BinLayout, family: Family) -> Mapping[str, BinRef]:
    """Every bin of a family, by the name of its role."""
    return MappingProxyType({layout.role_name(ref): ref for ref in layout.refs(family)})


def always_needed(offline: OfflineState) -> tuple[OfflineRole, ...]:
    """The offline roles without which no client takes anything."""
    return (offline.root, offline.delegated[TARGETS], offline.delegated[BINS])


def snapshot_entries(bins: Iterable[OnlineRole], offline: Mapping[str, int]) -> bytes:
    """The entries of the snapshot of these bins and of offline roles in these versions, joined."""
    fragments = _fragments(bins, offline)
    return b",".join([fragments[name] for name in sorted(fragments, key=canonical.snapshot_key)])


def _fragments(bins: Iterable[OnlineRole], offline: Mapping[str, int]) -> dict[str, bytes]:
    fragments = {role.name: _fragment(role) for role in bins}
    fragments.update((name, canonical.snapshot_entry(name, version)) for name, version in offline.items())
    return fragments


def _fragment(role: OnlineRole) -> bytes:
    # Clients hold a role to five million bytes where the snapshot states no length; a stated length takes the
    # place of that limit. So a bin that somebody fills on purpose makes its own lookups dear, and nothing worse.
    stated = role.length if role.length > LENGTH_STATED_ABOVE else None
    return canonical.snapshot_entry(role.name, role.version, stated)
