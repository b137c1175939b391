"""Rows in the order of their bins, in pieces that one transaction takes.

Rules kept here: every bin is in one piece, so that an import makes each dirty once and the database writes
neighbours together; a list that says two things of one path is believed in neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from gatehouse.gate.importing.reading import Refusal
from gatehouse.gate.importing.rows import Row
from gatehouse.gate.ports import Spool
from gatehouse.tuf.bins import BinLayout
from gatehouse.tuf.model import BinRef, Family, RawTarget

#: In so many parts rows wait: a part of fifteen million rows fits into memory easily.
PARTS = 256
#: So many rows go into one transaction, and the publisher's lease is locked as long.
PIECE_ROWS = 20_000
_DIGITS = 6


@dataclass(kw_only=True, slots=True)
class Piece:
    """The rows of some neighbouring bins.

    Attributes:
        cursor: how many bins, in order, are done when this piece is.
        bins: the targets of each, sorted by path, each path once.
        places: where each path stands: number of the list, and line.
        refused: rows that contradict each other.
        repeated: how many rows say again what another says.
    """

    cursor: int
    bins: dict[BinRef, list[RawTarget]] = field(default_factory=dict)
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    refused: list[tuple[tuple[int, int], str]] = field(default_factory=list)
    repeated: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Sorter:
    """Brings rows into order, by a spool.

    Attributes:
        layout: how many bins there are.
        spool: where rows wait; empty at first.
        names: the names of the lists.
    """

    layout: BinLayout
    spool: Spool
    names: Sequence[str]

    def put(self, number: int, rows: Iterable[tuple[int, Row]]) -> int:
        """Take in the rows of a list, each with its line; how many they were.

        Args:
            number: of the list, from 0.
            rows: line and row.
        """
        count, bins, files_from = 0, self.layout.count(), self.layout.count(Family.SIMPLE)
        bin_of, put = self.layout.bin_of, self.spool.put
        for line, (path, sha256, length) in rows:
            ref = bin_of(path)
            ordinal = ref.index if ref.family is Family.SIMPLE else files_from + ref.index
            # A space is below every character of a path, so sorted lines are sorted by bin and path.
            text = f"{ordinal:0{_DIGITS}d} {path} {sha256} {length} {number} {line}"
            put(ordinal * PARTS // bins, (text.encode(),))
            count += 1
        return count

    def pieces(self, *, done: int = 0) -> Iterator[Piece]:
        """All rows, in order, in pieces.

        Args:
            done: so many bins, in order, are left out.
        """
        bins = self.layout.count()
        for part in range(PARTS):
            end = -(-(part + 1) * bins // PARTS)
            piece, rows = Piece(cursor=end), 0
            for ordinal, lines in groupby(sorted(self.spool.take(part)), lambda line: int(line[:_DIGITS])):
                if ordinal < done:
                    continue
                if rows >= PIECE_ROWS:
                    piece.cursor = ordinal
                    yield piece
                    piece, rows = Piece(cursor=end), 0
                rows += self._take(piece, ordinal, lines)
            if rows:
                yield piece

    def refusal(self, place: tuple[int, int], reason: str) -> Refusal:
        """The refusal of a row that was read."""
        return Refusal(list=self.names[place[0]], line=place[1], reason=reason)

    def _take(self, piece: Piece, ordinal: int, lines: Iterable[bytes]) -> int:
        """Put the rows of a bin into a piece; how many they were."""
        files_from = self.layout.count(Family.SIMPLE)
        family, index = (Family.SIMPLE, ordinal) if ordinal < files_from else (Family.FILES, ordinal - files_from)
        targets: list[RawTarget] = []
        found = 0
        again: dict[str, list[tuple[int, int]]] = {}
        contradicted: set[str] = set()
        for line in lines:
            _, path, sha256, length, number, at = line.decode().split(" ")
            found += 1
            target, place = (path, bytes.fromhex(sha256), int(length)), (int(number), int(at))
            if piece.places.setdefault(path, place) is place:
                targets.append(target)
                continue
            again.setdefault(path, []).append(place)
            if target != targets[-1]:
                contradicted.add(path)
        for path, places in again.items():
            if path in contradicted:
                reason = f"{path} stands {len(places) + 1} times in the lists, with different content"
                piece.refused += [(place, reason) for place in (piece.places[path], *places)]
            else:
                piece.repeated += len(places)
        piece.bins[BinRef(family=family, index=index)] = [row for row in targets if row[0] not in contradicted]
        return found
