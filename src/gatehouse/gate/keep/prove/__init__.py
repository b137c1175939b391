"""The story of a proof (`gatehouse tuf fsck`): the database against itself, the store, the blobs.

Read only, beside a running publisher: what a publication under way accounts for is no fault. Each fault is a
value with what it means and what mends it. A faulty part never hides another: the parts are proved one after
another, and one that cannot be read at all is a fault of its own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from gatehouse.core.errors import GatehouseError
from gatehouse.gate.keep.prove.bins import prove_bins
from gatehouse.gate.keep.prove.blobs import prove_blobs
from gatehouse.gate.keep.prove.database import prove_database
from gatehouse.gate.keep.prove.fault import Fault, Step
from gatehouse.gate.keep.prove.store import prove_store
from gatehouse.gate.ports import Database
from gatehouse.gate.ports.keeping import KeptBlobs
from gatehouse.gate.trust import Trust
from gatehouse.tuf.bins import BinLayout
from gatehouse.tuf.model import BinRef
from gatehouse.tuf.ports import MetadataStore

__all__ = ["Fault", "Prove", "Step"]


def _silent(_part: str, _done: int, _of: int) -> None:
    """Nobody watches."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prove:
    """Proves the repository. `chance` picks the bins of a sample."""

    database: Database
    store: MetadataStore
    trust: Trust
    blobs: KeptBlobs
    chance: random.Random = field(default_factory=random.SystemRandom)

    def __call__(
        self, *, sample: int | None = None, with_blobs: bool = False, step: Step = _silent
    ) -> Iterator[Fault]:
        """Prove, and give each fault as it is found.

        Args:
            sample: read only so many bins, picked by chance, and the newest of the publications. All files are
                looked for all the same. None: everything.
            with_blobs: also look for the bytes of every published file and page.
            step: told how far each part has come.
        """
        try:
            with self.database.read() as transaction:
                offline = self.trust.state(transaction)
        except GatehouseError as error:
            yield Fault(
                code="offline",
                subject="database",
                fault=error.message,
                means="nothing can be proved or published without it",
                repair="restore the database, or `gatehouse tuf rebuild --from-store` into an empty one",
            )
            return
        refs = self._picked(offline.layout, sample)
        parts: tuple[tuple[str, Callable[[], Iterator[Fault]]], ...] = (
            ("database", lambda: prove_database(self.database, self.trust, last=sample, step=step)),
            ("store", lambda: prove_store(self.database, self.store, self.trust, step=step)),
            ("bins", lambda: prove_bins(self.database, self.store, self.trust, refs, step=step)),
        )
        if with_blobs:
            parts += (("blobs", lambda: prove_blobs(self.database, self.blobs, self.trust, step=step)),)
        for name, part in parts:
            try:
                yield from part()
            except GatehouseError as error:
                yield Fault(
                    code="unreadable",
                    subject=name,
                    fault=error.message,
                    means="this part could not be proved to its end",
                    repair="mend what the message names, then prove again",
                )

    def _picked(self, layout: BinLayout, sample: int | None) -> Sequence[BinRef]:
        refs = list(layout.refs())
        return refs if sample is None or sample >= len(refs) else sorted(self.chance.sample(refs, sample))
