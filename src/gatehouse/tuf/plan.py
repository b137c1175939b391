"""One publication, planned and signed: bins, then the snapshot, then the timestamp.

Rules kept here: a version is the committed one plus one, whatever the clock says; the timestamp always names
its snapshot's version, digest and length; nothing is signed to live longer than the offline metadata it rests
on, and once that has ended nothing is signed at all (no client would take it); a snapshot never loses a name,
even of a bin that no delegation reaches any more. Implements PEP 458, "Producing consistent snapshots"
(strictly sequential: bin-n, snapshot, timestamp last). Pure: signers aside, values in, values out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from types import MappingProxyType

from securesystemslib.signer import Signer

from gatehouse.core.digests import sha256_hex
from gatehouse.core.errors import InternalError, OperatorError
from gatehouse.tuf import canonical, render
from gatehouse.tuf.bins import BinLayout
from gatehouse.tuf.model import BinRef, Family, OnlineRole, Target
from gatehouse.tuf.roles import (
    BINS,
    RENEW_AT,
    RIDE_FROM,
    SNAPSHOT,
    TARGETS,
    TIMESTAMP,
    Lifetimes,
    due_until,
    is_due,
    renew_after,
)
from gatehouse.tuf.trusted import OfflineRole, OfflineState

# A publisher finds here all that it needs of this wing between two publications.
render_bin_again = render.render_bin_again
render_snapshot_again = render.render_snapshot_again
render_timestamp_again = render.render_timestamp_again


class OfflineExpired(OperatorError):
    """Offline metadata has ended: the key holders must sign a new version before anything can be published."""

    code = "offline-expired"


#: From this length on, in bytes, a bin's length stands in the snapshot; clients take 5,000,000 without.
LENGTH_STATED_ABOVE = 4_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class OnlineSigners:
    """Who signs what. One signer may serve all three; bins may have a faster one of their own."""

    timestamp: Signer
    snapshot: Signer
    bins: Signer


@dataclass(frozen=True, kw_only=True, slots=True)
class SignedRole:
    """A new version of an online role, and the bytes of its file."""

    role: OnlineRole
    data: bytes

    @property
    def filename(self) -> str:
        """Its name in the repository: versioned (PEP 458, consistent snapshots), but for the timestamp."""
        return f"{TIMESTAMP}.json" if self.role.name == TIMESTAMP else f"{self.role.version}.{self.role.name}.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """A publication before anything of it is visible. `snapshot` is None if the timestamp is renewed alone."""

    bins: tuple[SignedRole, ...]
    snapshot: SignedRole | None
    timestamp: SignedRole

    @property
    def immutable(self) -> tuple[SignedRole, ...]:
        """What is created before the timestamp moves, in order."""
        return self.bins if self.snapshot is None else (*self.bins, self.snapshot)

    @property
    def signed(self) -> tuple[SignedRole, ...]:
        """Everything, in the order of publication, the timestamp last."""
        return (*self.immutable, self.timestamp)


def plan(
    *,
    state: OfflineState,
    online: Mapping[str, OnlineRole],
    bins: Mapping[BinRef, Collection[Target]],
    signers: OnlineSigners,
    lifetimes: Lifetimes,
    now: datetime,
    new_snapshot: bool = False,
) -> Draft:
    """Sign what must follow from these bins.

    Args:
        state: what the offline metadata lays down.
        online: the online roles as committed, by name; empty at the first publication.
        bins: the full new contents of every bin to sign: changed ones, and those of `bins_due`.
        signers: the online keys.
        lifetimes: how long the signatures shall hold.
        now: the present moment, aware.
        new_snapshot: sign a snapshot even if none is due (after a change of root, PEP 458).

    Raises:
        OfflineExpired: offline metadata above a role to sign has ended.
        OperatorError: a signer is not authorised for its role, or failed.
        InternalError: a target is in the wrong bin, or a bin of the layout would not exist.
    """
    moment = canonical.whole_second(now)
    signing = _Signing(state=state, online=online, lifetimes=lifetimes, now=moment)
    signing.refuse_if_ended()
    drafted = tuple(
        signing.sign(state.layout.role_name(ref), signers.bins, _bin_body(state.layout, ref, bins[ref]))
        for ref in sorted(bins)
    )
    after = {**online, **{item.role.name: item.role for item in drafted}}
    _refuse_missing_bins(state.layout, after)
    body = _snapshot_body(state, after)
    committed = online.get(SNAPSHOT)
    snapshot = None
    if (
        committed is None
        or drafted
        or new_snapshot
        or not _is_authorised(state, committed)
        or _is_due(state, committed, lifetimes, moment, RIDE_FROM)
        or _is_stale(committed, body)
    ):
        snapshot = signing.sign(SNAPSHOT, signers.snapshot, body)
        committed = snapshot.role
    timestamp = signing.sign(TIMESTAMP, signers.timestamp, render.timestamp_body(committed))
    return Draft(bins=drafted, snapshot=snapshot, timestamp=timestamp)


def snapshot_versions(state: OfflineState, online: Mapping[str, OnlineRole]) -> dict[str, int]:
    """What a snapshot lists: every offline delegated role and every bin that there ever was, with its version.

    Args:
        state: what the offline metadata lays down.
        online: the online roles, by name. Names that no delegation reaches any more stay listed: clients
            refuse a snapshot that drops one.
    """
    versions = {name: role.version for name, role in online.items() if name not in (SNAPSHOT, TIMESTAMP)}
    versions.update((name, role.version) for name, role in state.delegated.items())
    return versions


def snapshot_lengths(online: Mapping[str, OnlineRole]) -> dict[str, int]:
    """The lengths that a snapshot states: those of bins that clients would otherwise find too long.

    A client takes a role of at most five million bytes where the snapshot states no length; a stated length
    takes the place of that limit. So a bin that somebody fills on purpose makes its own lookups dear, and never
    makes the repository one that clients refuse.

    Args:
        online: the online roles, by name.
    """
    return {
        name: role.length
        for name, role in online.items()
        if role.length > LENGTH_STATED_ABOVE and name not in (SNAPSHOT, TIMESTAMP)
    }


def bins_due(
    state: OfflineState,
    online: Mapping[str, OnlineRole],
    lifetimes: Lifetimes,
    now: datetime,
    *,
    fraction: float = RIDE_FROM,
    limit: int | None = None,
) -> set[BinRef]:
    """The bins that the next publication should sign although none of their targets changed.

    Those that do not exist yet (all of them, at the first publication), those signed by a key that is no
    longer authorised, and those near the end of their life.

    Args:
        state: what the offline metadata lays down.
        online: the online roles as committed, by name.
        lifetimes: how long signatures hold.
        now: the present moment, aware.
        fraction: how much of a bin's life may have passed.
        limit: at most so many of those that exist, the most urgent first; missing ones always come along.
    """
    missing: set[BinRef] = set()
    urgent: list[tuple[bool, datetime, BinRef]] = []
    deadline = due_until(lifetimes.bin_n, now, fraction)
    for family in Family:
        authorised = state.bins_keyids[family]
        not_after = min(role.expires for role in state.above_bins(family))
        for name, ref in _bins_by_name(state.layout, family).items():
            role = online.get(name)
            if role is None:
                missing.add(ref)
            elif now >= not_after:
                # What rests on ended metadata cannot be helped from here, and must not keep the rest from renewal.
                continue
            elif authorised.isdisjoint(keyid for keyid, _ in role.signatures):
                urgent.append((False, role.expires, ref))
            elif role.expires <= deadline and role.expires < not_after:
                urgent.append((True, role.expires, ref))
    urgent.sort()
    return missing | {ref for _, _, ref in urgent[:limit]}


def needs_publication(
    state: OfflineState, online: Mapping[str, OnlineRole], lifetimes: Lifetimes, now: datetime
) -> str | None:
    """Why a publication is needed although nothing has changed, in a word or two; None if it is not.

    Args:
        state: what the offline metadata lays down.
        online: the online roles as committed, by name.
        lifetimes: how long signatures hold.
        now: the present moment, aware.
    """
    timestamp, snapshot = online.get(TIMESTAMP), online.get(SNAPSHOT)
    if _ended(state, now):
        # The plan will say which: better a loud failure now than a silent end for every client.
        return "offline metadata has ended"
    if timestamp is None or snapshot is None or _bin_names(state.layout) - online.keys():
        return "roles are missing"
    reasons: tuple[tuple[str, Callable[[], object]], ...] = (
        ("keys have changed", lambda: not (_is_authorised(state, timestamp) and _is_authorised(state, snapshot))),
        ("bins are due", lambda: bins_due(state, online, lifetimes, now, fraction=RENEW_AT)),
        ("the snapshot is due", lambda: _is_due(state, snapshot, lifetimes, now, RENEW_AT)),
        ("the timestamp is due", lambda: _is_due(state, timestamp, lifetimes, now, RENEW_AT)),
        ("offline metadata is new", lambda: _is_stale(snapshot, _snapshot_body(state, online))),
    )
    return next((reason for reason, holds in reasons if holds()), None)


def next_due(
    state: OfflineState, online: Mapping[str, OnlineRole], lifetimes: Lifetimes, now: datetime
) -> datetime:
    """When the next publication is needed if nothing changes: `now` if one is needed already.

    A loop may sleep until then. The end of offline metadata counts too: that moment wants a person.
    """
    if needs_publication(state, online, lifetimes, now):
        return now
    moments = [role.expires for role in _always_needed(state)]
    moments += [
        renew_after(role.expires, _lifetime(lifetimes, role.name))
        for role in (online[TIMESTAMP], online[SNAPSHOT])
        if role.expires < state.not_after(role.name)
    ]
    for family in Family:
        not_after = min(role.expires for role in state.above_bins(family))
        ends = [online[name].expires for name in _bins_by_name(state.layout, family)]
        # A bin that lives as long as what it rests on cannot be renewed; the end of that counts already.
        moments += [renew_after(end, lifetimes.bin_n) for end in {*ends} if end < not_after and now < not_after]
    return max(min(moments), now)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Signing:
    """Signs the next version of one role after another."""

    state: OfflineState
    online: Mapping[str, OnlineRole]
    lifetimes: Lifetimes
    now: datetime

    def refuse_if_ended(self) -> None:
        for role in _always_needed(self.state):
            if role.expires <= self.now:
                raise _expired(role.name, role.expires)

    def sign(self, name: str, signer: Signer, body: render.Body) -> SignedRole:
        keyid = signer.public_key.keyid
        if keyid not in self.state.authorised(name):
            raise OperatorError(f"The online key {keyid[:16]}… is not authorised to sign {name}.")
        previous = self.online.get(name)
        version = 1 if previous is None else previous.version + 1
        expires = self._expires(name)
        signed = body(version, expires)
        signature = signer.sign(signed)
        signatures = ((keyid, signature.signature),)
        data = canonical.envelope(signed, signatures)
        role = OnlineRole(
            name=name,
            version=version,
            expires=expires,
            signatures=signatures,
            sha256=sha256_hex(data),
            length=len(data),
        )
        return SignedRole(role=role, data=data)

    def _expires(self, name: str) -> datetime:
        for above in self.state.above(name):
            if above.expires <= self.now:
                raise _expired(above.name, above.expires)
        return min(self.now + _lifetime(self.lifetimes, name), self.state.not_after(name))


def _bin_body(layout: BinLayout, ref: BinRef, targets: Collection[Target]) -> render.Body:
    for target in targets:
        if layout.bin_of(target.path) != ref:
            raise InternalError(
                f"Target {target.path} was given for {layout.role_name(ref)}, which is not its bin."
            )
    return render.bin_body(targets)


def _refuse_missing_bins(layout: BinLayout, online: Mapping[str, OnlineRole]) -> None:
    missing = _bin_names(layout) - online.keys()
    if missing:
        raise InternalError(f"{len(missing)} bins would not exist, {min(missing)} among them: TAP 15 wants all.")


@lru_cache(maxsize=8)
def _bins_by_name(layout: BinLayout, family: Family) -> Mapping[str, BinRef]:
    return MappingProxyType({layout.role_name(ref): ref for ref in layout.refs(family)})


@lru_cache(maxsize=4)
def _bin_names(layout: BinLayout) -> frozenset[str]:
    return frozenset(name for family in Family for name in _bins_by_name(layout, family))


def _always_needed(state: OfflineState) -> tuple[OfflineRole, ...]:
    return (state.root, state.delegated[TARGETS], state.delegated[BINS])


def _ended(state: OfflineState, now: datetime) -> bool:
    return any(role.expires <= now for role in _always_needed(state))


def _expired(name: str, expires: datetime) -> OfflineExpired:
    return OfflineExpired(
        f"{name} ended at {canonical.format_expiry(expires)}: the key holders must sign a new version of it."
    )


def _is_authorised(state: OfflineState, role: OnlineRole) -> bool:
    authorised = state.authorised(role.name)
    return any(keyid in authorised for keyid, _ in role.signatures)


def _is_due(state: OfflineState, role: OnlineRole, lifetimes: Lifetimes, now: datetime, fraction: float) -> bool:
    not_after = state.not_after(role.name)
    # What rests on ended metadata cannot be helped from here, and must not keep the rest from being renewed.
    return now < not_after and is_due(role, _lifetime(lifetimes, role.name), now, fraction, not_after=not_after)


def _is_stale(snapshot: OnlineRole, body: render.Body) -> bool:
    # The committed digest says what the snapshot listed: if today's versions give other bytes, it lists others.
    return not render.is_as_committed(snapshot, render.render(snapshot, body))


def _snapshot_body(state: OfflineState, online: Mapping[str, OnlineRole]) -> render.Body:
    return render.snapshot_body(snapshot_versions(state, online), snapshot_lengths(online))


def _lifetime(lifetimes: Lifetimes, name: str) -> timedelta:
    if name == TIMESTAMP:
        return lifetimes.timestamp
    return lifetimes.snapshot if name == SNAPSHOT else lifetimes.bin_n
