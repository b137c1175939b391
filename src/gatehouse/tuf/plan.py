"""One publication, signed: bins, then the snapshot, then the timestamp.

Rules kept here: a version is the committed one plus one, whatever the clock says; the timestamp always names
its snapshot's version, digest and length; nothing is signed to live longer than the offline metadata it rests
on, and once that has ended nothing is signed at all (no client would take it). Implements PEP 458, "Producing
consistent snapshots" (strictly sequential: bin-n, snapshot, timestamp last). Pure: signers aside, values in,
values out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from securesystemslib.signer import Signer

from gatehouse.core.digests import sha256_hex
from gatehouse.core.errors import OperatorError
from gatehouse.tuf import canonical, render
from gatehouse.tuf.committed import Committed, always_needed
from gatehouse.tuf.model import BinRef, OnlineRole
from gatehouse.tuf.roles import RIDE_FROM, SNAPSHOT, TIMESTAMP, Lifetimes, jittered
from gatehouse.tuf.trusted import OfflineRole


class OfflineExpired(OperatorError):
    """Offline metadata has ended: the key holders must sign a new version before anything can be published."""

    code = "offline-expired"


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
        return filename(self.role)


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """A publication before anything of it is visible.

    `snapshot` is None if the timestamp is renewed alone; `timestamp` too is None for a chunk of bins.
    """

    bins: tuple[SignedRole, ...]
    snapshot: SignedRole | None
    timestamp: SignedRole | None

    @property
    def signed(self) -> tuple[SignedRole, ...]:
        """Everything, in the order of publication, the timestamp last."""
        return (*self.bins, *(item for item in (self.snapshot, self.timestamp) if item is not None))


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Signs the next version of one role after another. Bins may be signed in several threads at once.

    Args:
        committed: the online roles as committed.
        signers: the online keys.
        lifetimes: how long the signatures shall hold.
        now: the present moment, aware, a whole second (`canonical.whole_second`).
    """

    committed: Committed
    signers: OnlineSigners
    lifetimes: Lifetimes
    now: datetime

    def refuse_if_ended(self) -> None:
        """Refuse to sign at all where no client would take anything.

        Raises:
            OfflineExpired: offline metadata that every client needs has ended.
        """
        for role in always_needed(self.committed.offline):
            if role.expires <= self.now:
                raise _expired(role)

    def bin(self, ref: BinRef, body: bytes) -> SignedRole:
        """Sign a bin with these entries, joined and in order.

        Raises:
            OfflineExpired: offline metadata above it has ended.
            OperatorError: the signer is not authorised for it, or failed.
        """
        offline = self.committed.offline
        name = offline.layout.role_name(ref)
        return self._sign(
            name,
            self.signers.bins,
            render.entries_body(body),
            authorised=offline.bins_keyids[ref.family],
            above=offline.above_bins(ref.family),
            lifetime=jittered(self.lifetimes.bin_n, name),
        )

    def finish(self, bins: Sequence[SignedRole], *, new_snapshot: bool = False) -> Draft:
        """Sign the snapshot that follows from these bins, if one must, and the timestamp.

        Args:
            bins: what was signed anew.
            new_snapshot: sign a snapshot even if none is due.

        Raises:
            OfflineExpired: the root has ended.
            OperatorError: a signer is not authorised for its role, or failed.
            InternalError: a bin of the layout would not exist.
        """
        committed = self.committed
        body = committed.snapshot_body(item.role for item in bins)
        named = committed.snapshot
        snapshot = None
        if (
            named is None
            or bins
            or new_snapshot
            or committed.stale
            or not committed.is_authorised(named)
            or committed.is_due(named, self.lifetimes.snapshot, self.now, RIDE_FROM)
        ):
            snapshot = self._sign_under_root(
                SNAPSHOT, self.signers.snapshot, render.listing_body(body), self.lifetimes.snapshot
            )
            named = snapshot.role
        timestamp = self._sign_under_root(
            TIMESTAMP, self.signers.timestamp, render.timestamp_body(named), self.lifetimes.timestamp
        )
        return Draft(bins=tuple(bins), snapshot=snapshot, timestamp=timestamp)

    def _sign_under_root(self, name: str, signer: Signer, body: render.Body, lifetime: timedelta) -> SignedRole:
        offline = self.committed.offline
        return self._sign(
            name,
            signer,
            body,
            authorised=offline.authorised(name),
            above=offline.above(name),
            lifetime=lifetime,
        )

    def _sign(
        self,
        name: str,
        signer: Signer,
        body: render.Body,
        *,
        authorised: frozenset[str],
        above: Sequence[OfflineRole],
        lifetime: timedelta,
    ) -> SignedRole:
        keyid = signer.public_key.keyid
        if keyid not in authorised:
            raise OperatorError(f"The online key {keyid[:16]}… is not authorised to sign {name}.")
        for needed in above:
            if needed.expires <= self.now:
                raise _expired(needed)
        previous = self.committed.role(name)
        version = 1 if previous is None else previous.version + 1
        expires = min(self.now + lifetime, *(needed.expires for needed in above))
        signed = body(version, expires)
        signatures = ((keyid, signer.sign(signed).signature),)
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


def plan(
    *,
    committed: Committed,
    bins: Mapping[BinRef, bytes],
    signers: OnlineSigners,
    lifetimes: Lifetimes,
    now: datetime,
    new_snapshot: bool = False,
) -> Draft:
    """Sign what must follow from these bins, all at once: for repositories that fit.

    Args:
        committed: the online roles as committed.
        bins: the new entries, joined and in order, of every bin to sign.
        signers: the online keys.
        lifetimes: how long the signatures shall hold.
        now: the present moment, aware.
        new_snapshot: sign a snapshot even if none is due.

    Raises:
        OfflineExpired: offline metadata above a role to sign has ended.
        OperatorError: a signer is not authorised for its role, or failed.
        InternalError: a bin of the layout would not exist.
    """
    signing = Plan(committed=committed, signers=signers, lifetimes=lifetimes, now=canonical.whole_second(now))
    signing.refuse_if_ended()
    return signing.finish([signing.bin(ref, bins[ref]) for ref in sorted(bins)], new_snapshot=new_snapshot)


def filename(role: OnlineRole) -> str:
    """The name of a role's file in the repository; that of the timestamp never changes."""
    return f"{TIMESTAMP}.json" if role.name == TIMESTAMP else f"{role.version}.{role.name}.json"


def _expired(role: OfflineRole) -> OfflineExpired:
    return OfflineExpired(
        f"{role.name} ended at {canonical.format_expiry(role.expires)}: "
        "the key holders must sign a new version of it."
    )
