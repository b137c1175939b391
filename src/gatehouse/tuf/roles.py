"""The roles of PEP 458's tree as this index has it (procedure P1), how long each lives and when it is renewed.

`root` delegates to `timestamp`, `snapshot` and `targets`; `targets` to `audit`, then `bins`; `bins` to
`simple-bins`, then `files-bins`; these two to succinct hash bins (TAP 15). Rules kept here: a role is
renewed when most of its life is over (a new version is a download for every client, so not much earlier),
and only if the renewal lives longer than what it replaces.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from types import MappingProxyType
from typing import Final

from gatehouse.core.errors import OperatorError
from gatehouse.tuf.model import Family, OnlineRole

ROOT: Final = "root"
TIMESTAMP: Final = "timestamp"
SNAPSHOT: Final = "snapshot"
TARGETS: Final = "targets"
AUDIT: Final = "audit"
BINS: Final = "bins"
SIMPLE_BINS: Final = "simple-bins"
FILES_BINS: Final = "files-bins"

#: The offline roles that snapshots list, in the order in which a client meets them.
OFFLINE_DELEGATED: Final = (TARGETS, AUDIT, BINS, SIMPLE_BINS, FILES_BINS)
#: The offline role that delegates to the bins of a family.
DELEGATOR: Final = MappingProxyType({Family.SIMPLE: SIMPLE_BINS, Family.FILES: FILES_BINS})
#: The `name_prefix` of a family's succinct delegation.
BIN_PREFIX: Final = MappingProxyType({Family.SIMPLE: "simple-bin", Family.FILES: "files-bin"})

#: A role must be renewed when this much of its life is over.
RENEW_AT: Final = 0.85
#: A bin may ride along with a publication from here on: so renewals come in batches, not one by one.
RIDE_FROM: Final = 0.80
#: How much shorter the life of a bin may be than that of another.
JITTER: Final = 0.10
_CATCH_UP_EVERY: Final = timedelta(hours=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Urgency(IntEnum):
    """How pressing it is that a role be renewed; a higher one weighs more."""

    NOTICE = 1
    WARNING = 2
    CRITICAL = 3

    @property
    def word(self) -> str:
        """Its name in lower case, for people and labels."""
        return self.name.lower()


#: How much of an online role's life is over when its renewal is overdue: the publisher renews far earlier.
ONLINE_OVERDUE: Final = MappingProxyType({Urgency.CRITICAL: 0.98, Urgency.WARNING: 0.95, Urgency.NOTICE: 0.90})
#: How long before its end an offline role wants its key holders: people have to meet.
OFFLINE_ENDS_IN: Final = MappingProxyType(
    {
        Urgency.CRITICAL: timedelta(days=7),
        Urgency.WARNING: timedelta(days=21),
        Urgency.NOTICE: timedelta(days=60),
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Lifetimes:
    """How long a signature holds. The defaults are PEP 458's (section "Metadata expiry times").

    Raises:
        OperatorError: a lifetime is not a positive number of whole seconds.
    """

    root: timedelta = timedelta(days=365)
    targets: timedelta = timedelta(days=365)
    bins: timedelta = timedelta(days=365)  # bins, simple-bins, files-bins
    audit: timedelta = timedelta(days=365)
    timestamp: timedelta = timedelta(days=1)
    snapshot: timedelta = timedelta(days=1)
    bin_n: timedelta = timedelta(days=1)

    def __post_init__(self) -> None:
        for item in fields(self):
            value: timedelta = getattr(self, item.name)
            if value < timedelta(seconds=1) or value.microseconds:
                raise OperatorError(f"The lifetime of {item.name} must be a positive number of whole seconds.")


def renew_after(expires: datetime, lifetime: timedelta, fraction: float = RENEW_AT) -> datetime:
    """The moment from which a role that ends at `expires` is to be renewed.

    Args:
        expires: when the signature ends.
        lifetime: how long such a signature holds by today's settings.
        fraction: how much of its life may pass before, 0 to 1.
    """
    return expires - lifetime * (1 - fraction)


def jittered(lifetime: timedelta, name: str) -> timedelta:
    """The life of a bin: up to a tenth less than `lifetime`, always the same for a name.

    Bins that were born together then do not fall due together.
    """
    share = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") / 2**32
    return lifetime - timedelta(seconds=int(lifetime.total_seconds() * JITTER * share))


def catch_up_at(expires: datetime, lifetime: timedelta) -> datetime:
    """When a bin that no publication carried along is renewed for its own sake.

    From `RENEW_AT` on, but together with others: at the next full hour (where lives are shorter than a day, at the
    next full twenty-fourth of one).
    """
    due = renew_after(expires, lifetime)
    step = min(_CATCH_UP_EVERY, lifetime / 24)
    if step < timedelta(seconds=1):
        return due
    return due + (_EPOCH - due) % step


def due_until(lifetime: timedelta, now: datetime, fraction: float = RENEW_AT) -> datetime:
    """Signatures that end by this moment are to be renewed now: the same rule, seen from the other side."""
    return now + lifetime * (1 - fraction)


def is_due(
    role: OnlineRole,
    lifetime: timedelta,
    now: datetime,
    fraction: float = RENEW_AT,
    *,
    not_after: datetime | None = None,
) -> bool:
    """Whether a role is to be renewed now.

    Args:
        role: the role as committed.
        lifetime: how long its signature would hold.
        now: the present moment, aware.
        fraction: how much of its life may pass before, 0 to 1.
        not_after: when the offline metadata above it ends. A role that lives as long already is not due,
            or a renewal that gains nothing would follow another without end.
    """
    return role.expires <= due_until(lifetime, now, fraction) and (not_after is None or role.expires < not_after)


def online_urgency(expires: datetime, lifetime: timedelta, now: datetime) -> Urgency | None:
    """How overdue the renewal of an online role is; None while it is not.

    Args:
        expires: when the role ends.
        lifetime: how long such a signature holds.
        now: the present moment, aware.
    """
    return next(
        (level for level, gone in ONLINE_OVERDUE.items() if now >= renew_after(expires, lifetime, gone)), None
    )


def offline_urgency(expires: datetime, now: datetime) -> Urgency | None:
    """How soon the key holders must sign a role anew; None while there is time.

    Args:
        expires: when the role ends.
        now: the present moment, aware.
    """
    return next((level for level, left in OFFLINE_ENDS_IN.items() if expires - now <= left), None)
