"""Everything that stands between a draft and its commit: verified as clients will verify it.

The bins were verified as they were made; here follow the snapshot and the timestamp, and now and then the judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from gatehouse.core.errors import InternalError
from gatehouse.gate.ports import JournalEntry
from gatehouse.gate.publishing.judge import Judge
from gatehouse.gate.publishing.state import PublisherState
from gatehouse.tuf.authority import RootAuthority, in_caches
from gatehouse.tuf.model import OnlineRole
from gatehouse.tuf.plan import Draft, SignedRole
from gatehouse.tuf.verify import verify_snapshot, verify_timestamp


def rehearse_draft(
    draft: Draft,
    state: PublisherState,
    entries: Sequence[JournalEntry],
    *,
    judge: Judge,
    root_grace: timedelta,
    now: datetime,
) -> None:
    """Verify a draft; a chunk of bins has nothing more to verify.

    Args:
        draft: the publication.
        state: what is committed and served.
        entries: the changes in it.
        judge: python-tuf's client.
        root_grace: how long a cache may deny that there is a newer root.
        now: the moment at which clients look, aware, a whole second.

    Raises:
        RehearsalFailed: a client would refuse it, or it is not what was meant.
    """
    if draft.timestamp is None:
        return
    committed = state.committed
    roots = in_caches(state.roots, state.added, now, root_grace)
    if draft.snapshot is not None:
        _verify_snapshot(draft.snapshot, draft, state, roots, now)
    role = committed.snapshot if draft.snapshot is None else draft.snapshot.role
    if role is None:
        raise InternalError("There is no snapshot for a timestamp to name.")
    verify_timestamp(
        draft.timestamp.data,
        role=draft.timestamp.role,
        authorities=[root.timestamp for root in roots],
        previous=committed.timestamp,
        snapshot=state.served_snapshot() if draft.snapshot is None else draft.snapshot.data,
        snapshot_role=role,
        previous_snapshot=committed.snapshot,
        now=now,
    )
    judge.judge(draft, state, entries, now=now)


def _verify_snapshot(
    snapshot: SignedRole,
    draft: Draft,
    state: PublisherState,
    roots: Sequence[RootAuthority],
    now: datetime,
) -> None:
    committed = state.committed
    changed: list[OnlineRole] = [item.role for item in draft.bins]
    names = committed.names(changed)
    previous = None
    if committed.snapshot is not None:
        previous = (committed.snapshot, state.served_snapshot())
    else:
        # Chunks went before: the first snapshot lists their bins for the first time.
        changed = [*committed.bins(), *changed]
    verify_snapshot(
        snapshot.data,
        role=snapshot.role,
        authorities=[root.snapshot for root in roots],
        previous=previous,
        changed={role.name: (role.version, role.length) for role in changed},
        offline={name: role.version for name, role in committed.offline.delegated.items()},
        names=names,
        now=now,
    )
