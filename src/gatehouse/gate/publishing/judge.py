"""python-tuf's own client as the judge of a sample: it would cost what it protects, so it takes one percent.

The incremental rehearsal (`tuf.verify`) looks at every publication. A second opinion that shares no code with us
looks at as many as its time allows: all of a small repository's, some of a large one's, always the first one and
the first under a new root. Its verdict stops a publication likewise.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime

from gatehouse.gate.ports import JournalEntry
from gatehouse.gate.publishing.state import PublisherState
from gatehouse.tuf.plan import Draft, SignedRole
from gatehouse.tuf.rehearse import rehearse

#: How many bins of a publication the judge looks at.
BINS = 8


@dataclass(kw_only=True, slots=True)
class Judge:
    """Judges drafts now and then.

    Attributes:
        share: the part of the time that it may take; 1: every publication is judged.
    """

    share: float = 0.01
    _rests_until: float = field(default=0.0, init=False)
    _root: int | None = field(default=None, init=False)

    def judge(
        self, draft: Draft, state: PublisherState, entries: Sequence[JournalEntry], *, now: datetime
    ) -> bool:
        """Judge a draft if it is time; whether it was.

        Args:
            draft: the publication, with a timestamp.
            state: what is committed and served.
            entries: the changes in it.
            now: the moment at which the clients look, aware.

        Raises:
            RehearsalFailed: a client would refuse it.
        """
        offline = state.committed.offline
        # Monotonic seconds: this is about effort, not about the moments that metadata states.
        begun = time.monotonic()
        known_root = state.served is not None and self._root == offline.root.version
        if draft.timestamp is None or (known_root and begun < self._rests_until):
            return False
        changed = {offline.layout.role_name(entry.bin) for entry in entries}
        sample = _sample(draft.bins, changed)
        rehearse(
            roots=[root.data for root in offline.roots],
            offline={name: role.data for name, role in offline.delegated.items()},
            previous=state.served,
            timestamp=draft.timestamp.data,
            snapshot=state.served_snapshot() if draft.snapshot is None else draft.snapshot.data,
            bins=sample,
            expected={
                entry.change.path: entry.change.target
                for entry in entries
                if offline.layout.role_name(entry.bin) in sample
            },
            layout=offline.layout,
            now=now,
            unseen=state.committed.names(item.role for item in draft.bins),
        )
        self._root = offline.root.version
        ended = time.monotonic()
        self._rests_until = ended + (ended - begun) * (1 / self.share - 1)
        return True


def _sample(bins: Sequence[SignedRole], changed: AbstractSet[str]) -> dict[str, bytes]:
    """Some of the bins, from all over, those first that changed."""
    names = [item.role.name for item in bins if item.role.name in changed]
    chosen = _spread(names, BINS)
    chosen |= _spread([item.role.name for item in bins if item.role.name not in changed], BINS - len(chosen))
    return {item.role.name: item.data for item in bins if item.role.name in chosen}


def _spread(names: Sequence[str], count: int) -> set[str]:
    return {names[number * len(names) // count] for number in range(count)} if names else set()
