"""Who meets what: the cases of a law as a sequence that is counted and drawn from without being written down.

A *holder* is a client by what it remembers: -1 is a new one, h one that rested at state h.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Final

NEW_CLIENT: Final = -1

#: (holder, the state at which its session begins, the state that it is moved on to).
Case = tuple[int, int, int]


class Meetings(Sequence[Case]):
    """Every holder h, state i and state j with h <= i and i < j <= last[i], in order.

    Args:
        last: for each state i, the last j that it may be moved on to.
        still: i itself is a j too.
        rested: holders that rested; otherwise new clients alone.
    """

    def __init__(self, last: Sequence[int], *, still: bool = False, rested: bool = True) -> None:
        self._first = 0 if still else 1
        self._rested = rested
        self._ahead = [end - number + 1 - self._first for number, end in enumerate(last)]
        self._ends = list(accumulate(ahead * self._holders(number) for number, ahead in enumerate(self._ahead)))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: int) -> Case:  # type: ignore[override]  # nobody slices them
        if not 0 <= index < len(self):
            raise IndexError(index)
        begun = bisect_right(self._ends, index)
        within = index - (self._ends[begun - 1] if begun else 0)
        holder, ahead = divmod(within, self._ahead[begun])
        return holder + NEW_CLIENT, begun, begun + ahead + self._first

    def _holders(self, begun: int) -> int:
        return begun + 2 if self._rested else 1


def drawn(cases: Sequence[Case], sample: int | None, seed: int, law: str) -> Iterator[Case]:
    """All cases, or so many of them at random: the same ones for the same seed and law, in order."""
    if sample is None or sample >= len(cases):
        yield from cases
        return
    chance = random.Random(f"{seed} {law}")  # noqa: S311 -- a sample that can be drawn again
    for index in sorted(chance.sample(range(len(cases)), sample)):
        yield cases[index]


def reach(count: int, near: Callable[[int, int], bool]) -> list[int]:
    """For each of `count` states, the last one after it that is near; near states follow each other."""
    last, ends = 0, []
    for number in range(count):
        last = max(last, number)
        while last + 1 < count and near(number, last + 1):
            last += 1
        ends.append(last)
    return ends
