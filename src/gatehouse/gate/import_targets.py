"""The story of an import: lists of targets become targets, past the journal, and their bins are signed anew.

For an index that exists already and comes under signatures. All lists are read, checked and sorted by bin before
anything is written; so a list that is damaged, or with `strict` one that has a fault, changes nothing. Then bin
after bin goes into the database, in pieces: each piece is one transaction that also says how far the import has
come. A crash, or an end by hand, leaves whole pieces; the same lists again go on where they stopped, and other
lists are another import. What is there already with the same content is left alone, so an import may be repeated.

Rules kept here: nothing replaces a target unless that was asked for; what a list says twice in two ways is refused
in both places; every row that is refused is told, with its reason. Publishing the bins is the publisher's.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gatehouse.core.clock import Clock
from gatehouse.core.errors import Conflict, OperatorError
from gatehouse.gate.importing.reading import Refusal, TargetList, read_list
from gatehouse.gate.importing.rows import BadList
from gatehouse.gate.importing.sorting import Piece, Sorter
from gatehouse.gate.ports import Database, ImportCounts, Spool, TargetImport, Transaction
from gatehouse.gate.trust import Trust
from gatehouse.tuf.bins import BinLayout
from gatehouse.tuf.model import BinRef, RawTarget

#: A list with more faults is none of targets; and the list of refusals must not fill a disk.
MOST_REFUSED = 100_000
_PAUSE_SECONDS = 0.2
_CONTRADICTS = "the index has it with other content (--replace would take this one)"

#: Is told of a part of the work how much is done, of how much (0: nobody knows).
Step = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Imported:
    """What came of an import.

    Attributes:
        id: of its record; None if nothing was to be written.
        rows: how many were read that could be read.
        counts: what became of all rows, those of earlier attempts included.
        resumed_at: how many bins an earlier attempt had done; 0 if there was none.
    """

    id: int | None
    rows: int
    counts: ImportCounts
    resumed_at: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportTargets:
    """Imports lists of targets.

    Attributes:
        patience: how many seconds to wait for a publication that is half-way.
        sleep: waits so many seconds.
    """

    database: Database
    trust: Trust
    clock: Clock
    spool: Spool
    patience: float = 60.0
    sleep: Callable[[float], None] = field(default=time.sleep)

    def __call__(
        self,
        lists: Sequence[TargetList],
        *,
        refuse: Callable[[Refusal], None],
        step: Step,
        replace: bool = False,
        strict: bool = False,
        dry_run: bool = False,
    ) -> Imported:
        """Import.

        Args:
            lists: what to import.
            refuse: is told of every row that is not imported, before the piece that it belongs to is written.
            step: is told how far it has come.
            replace: whether a target with other content gives way.
            strict: whether the first fault ends it, before anything is written.
            dry_run: write nothing, but tell what would be.

        Raises:
            BadList: a list is damaged or none of targets, or, with `strict`, has a fault.
            OperatorError: a list or the database cannot be read or written; what is written stays.
        """
        with self.database.read() as transaction:
            layout = self.trust.state(transaction).layout
        refusals = _Refusals(tell=refuse, strict=strict)
        sorter = Sorter(layout=layout, spool=self.spool, names=[each.name for each in lists])
        digest, rows = self._read(lists, sorter, refusals, step)
        if dry_run or strict:
            counts = self._look(sorter, layout, refusals, step, replace=replace)
            if dry_run:
                return Imported(id=None, rows=rows, counts=counts, resumed_at=0)
        digest = hashlib.sha256(f"{digest} {layout} {replace}".encode()).hexdigest()
        with self.database.write() as transaction:
            run = transaction.imports.unfinished(digest)
            resumed_at = 0 if run is None else run.cursor
            if run is None:
                run = transaction.imports.begin(digest, at=self.clock.now())
                run = transaction.imports.advance(run, cursor=0, counts=ImportCounts(refused=refusals.count))
        for piece in sorter.pieces(done=resumed_at):
            run = self._load(run, piece, sorter, refusals, replace=replace)
            step("loading", run.cursor, layout.count())
        with self.database.write() as transaction:
            transaction.imports.finish(run, at=self.clock.now())
        return Imported(id=run.id, rows=rows, counts=run.counts, resumed_at=resumed_at)

    def _read(
        self, lists: Sequence[TargetList], sorter: Sorter, refusals: _Refusals, step: Step
    ) -> tuple[str, int]:
        """Read all lists into the spool; a digest of all that was read, and how many rows it was."""
        digest, rows = hashlib.sha256(), 0
        for number, each in enumerate(lists):
            one = hashlib.sha256(each.format.encode())
            read = read_list(each, digest=one, refuse=refusals, step=_named(step, each))
            rows += sorter.put(number, read)
            digest.update(one.digest())
        return digest.hexdigest(), rows

    def _look(
        self, sorter: Sorter, layout: BinLayout, refusals: _Refusals, step: Step, *, replace: bool
    ) -> ImportCounts:
        """What would become of the rows."""
        counts = ImportCounts(refused=refusals.count)
        with self.database.read() as transaction:
            for piece in sorter.pieces():
                sorted_out = _sort_out(transaction, piece, sorter, replace=replace)
                for refusal in sorted_out.refused:
                    refusals(refusal)
                counts += sorted_out.counts
                step("checking", piece.cursor, layout.count())
        return counts

    def _load(
        self, run: TargetImport, piece: Piece, sorter: Sorter, refusals: _Refusals, *, replace: bool
    ) -> TargetImport:
        """Write a piece, in one transaction. A publication that is half-way is waited for."""
        waited = 0.0
        while True:
            try:
                with self.database.write() as transaction:
                    # Whoever loads locks out publications, so what is seen here holds until the commit.
                    transaction.signing.load_targets({})
                    sorted_out = _sort_out(transaction, piece, sorter, replace=replace)
                    transaction.signing.load_targets(sorted_out.bins)
                    # Told before the commit: a crash in between has them told twice, and none is lost.
                    for refusal in sorted_out.refused:
                        refusals(refusal)
                    return transaction.imports.advance(run, cursor=piece.cursor, counts=sorted_out.counts)
            except Conflict as error:
                if waited >= self.patience:
                    raise OperatorError(
                        f"{error.message} Start the server, which finishes it, and import the same again: it goes "
                        "on where it stopped."
                    ) from error
                self.sleep(_PAUSE_SECONDS)
                waited += _PAUSE_SECONDS


@dataclass(kw_only=True, slots=True)
class _Refusals:
    """Tells and counts refusals, up to what is bearable."""

    tell: Callable[[Refusal], None]
    strict: bool
    count: int = 0

    def __call__(self, refusal: Refusal) -> None:
        self.tell(refusal)
        self.count += 1
        where = f"{refusal.list}, line {refusal.line}"
        if self.strict:
            raise BadList(f"{where}: {refusal.reason}.")
        if self.count >= MOST_REFUSED:
            raise BadList(f"{MOST_REFUSED:,} rows are refused, the last in {where}: is this a list of targets?")


@dataclass(frozen=True, kw_only=True, slots=True)
class _SortedOut:
    """Of a piece: the targets to write, what is refused, and how many rows are what."""

    bins: dict[BinRef, list[RawTarget]]
    refused: list[Refusal]
    counts: ImportCounts


def _sort_out(transaction: Transaction, piece: Piece, sorter: Sorter, *, replace: bool) -> _SortedOut:
    """Compare a piece with what is there."""
    refused = [sorter.refusal(place, reason) for place, reason in piece.refused]
    there = dict(transaction.signing.raw_targets(piece.bins))
    bins: dict[BinRef, list[RawTarget]] = {}
    loaded = replaced = unchanged = 0
    for ref, targets in piece.bins.items():
        known = {path: (sha256, length) for path, sha256, length in there.get(ref, ())}
        wanted: list[RawTarget] = []
        for target in targets if known else ():
            path, sha256, length = target
            before = known.get(path)
            if before is None:
                wanted.append(target)
            elif before == (sha256, length):
                unchanged += 1
            elif replace:
                wanted.append(target)
                replaced += 1
            else:
                refused.append(sorter.refusal(piece.places[path], f"{path}: {_CONTRADICTS}"))
        if not known:
            wanted = targets
        if wanted:
            bins[ref] = wanted
            loaded += len(wanted)
    counts = ImportCounts(
        loaded=loaded - replaced,
        replaced=replaced,
        unchanged=unchanged + piece.repeated,
        refused=len(refused),
    )
    return _SortedOut(bins=bins, refused=refused, counts=counts)


def _named(step: Step, each: TargetList) -> Callable[[int], None]:
    return lambda done: step(f"reading {each.name}", done, each.size)
