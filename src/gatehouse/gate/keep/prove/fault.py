"""What a proof finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """Something that is not as it must be.

    Attributes:
        code: a stable word for the kind of fault.
        subject: the file, role or table that it is in.
        fault: what was seen.
        means: what follows from it.
        repair: what the operator does.
    """

    code: str
    subject: str
    fault: str
    means: str
    repair: str

    @property
    def line(self) -> str:
        """All of it, for people."""
        return f"{self.subject}: {self.fault.rstrip('.')}. Means: {self.means}. Repair: {self.repair}."


class Step(Protocol):
    """Told how far a part has come; `of` is 0 where nobody knows how much there is."""

    def __call__(self, part: str, done: int, of: int, /) -> None:
        """So much of a part is done."""
        ...
