"""Which changes and which bins go into the next publication.

Rules kept here: a publication is bounded by its changes and by the bytes of the bins that it signs; what can never
be published is found entry by entry and keeps nothing else waiting.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gatehouse.core.errors import GatehouseError
from gatehouse.core.names import parse_target
from gatehouse.gate.ports import JournalEntry
from gatehouse.tuf.bins import BinLayout
from gatehouse.tuf.canonical import target_entry
from gatehouse.tuf.committed import Committed
from gatehouse.tuf.model import BinRef, Target


@dataclass(kw_only=True, slots=True)
class Selection:
    """What one publication takes: changes in order, and the bins to sign, as long as their files fit.

    Attributes:
        committed: what is committed now.
        limit: how many bytes of bins fit; the first bin always does.
        entries: the changes.
        bins: the bins to sign, each with its new targets by path; None: the target is gone.
        rendered: those among them to render from the database and not from their files.
    """

    committed: Committed
    limit: int
    entries: list[JournalEntry] = field(default_factory=list)
    bins: dict[BinRef, dict[str, Target | None]] = field(default_factory=dict)
    rendered: set[BinRef] = field(default_factory=set)
    _size: int = field(default=0, init=False)

    def take_changes(self, entries: Iterable[JournalEntry]) -> None:
        """Take changes up to the first whose bin does not fit: those of one path must stay in order."""
        for entry in entries:
            if not self.take_bin(entry.bin):
                return
            self.bins[entry.bin][entry.change.path] = entry.change.target
            self.entries.append(entry)

    def take_bins(self, refs: Iterable[BinRef]) -> None:
        """Take bins as long as they fit."""
        for ref in refs:
            if not self.take_bin(ref):
                return

    def take_bin(self, ref: BinRef) -> bool:
        """Take a bin, if it fits."""
        if ref in self.bins:
            return True
        role = self.committed.role(self.committed.offline.layout.role_name(ref))
        length = 0 if role is None else role.length
        if self.bins and self._size + length > self.limit:
            return False
        self._size += length
        self.bins[ref] = {}
        return True

    def render(self, refs: Iterable[BinRef]) -> None:
        """Take bins as long as they fit, to be rendered from the database."""
        for ref in refs:
            if not self.take_bin(ref):
                return
            self.rendered.add(ref)


def refuse_faulty(
    entries: Sequence[JournalEntry], layout: BinLayout
) -> tuple[list[JournalEntry], Mapping[int, str]]:
    """Tell changes that can be published from those that never will.

    Args:
        entries: changes, in order.
        layout: how many bins there are.

    Returns:
        The good ones, in order; and of each bad one, by its id, what is wrong with it.
    """
    good: list[JournalEntry] = []
    faults: dict[int, str] = {}
    for entry in entries:
        fault = _fault(entry, layout)
        if fault is None:
            good.append(entry)
        else:
            faults[entry.id] = fault
    return good, faults


def _fault(entry: JournalEntry, layout: BinLayout) -> str | None:
    path, target = entry.change.path, entry.change.target
    try:
        parse_target(path)
        if target is not None:
            target_entry(target)
        home = layout.bin_of(path)
    except GatehouseError as error:
        return error.message
    if entry.bin != home:
        return f"Target {path} was journalled for a bin which is not its bin, {layout.role_name(home)}."
    return None
