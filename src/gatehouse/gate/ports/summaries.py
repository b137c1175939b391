"""What is kept of screened files so that later releases can be compared with them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from gatehouse.malware.difference import ReleaseSummary
from gatehouse.malware.model import Subject


@dataclass(frozen=True, kw_only=True, slots=True)
class Cleared:
    """A file that has a summary and nothing against it. `judged` says that a person let it through."""

    subject: Subject
    judged: bool


class SummaryStore(Protocol):
    """The newest summary of each file. It can be made again by screening the file again."""

    def keep(self, subject: Subject, summary: ReleaseSummary, *, at: datetime) -> None:
        """Keep the summary of a file whose screening is recorded, in the place of an older one."""
        ...

    def of(self, subjects: Collection[Subject]) -> list[ReleaseSummary]:
        """The summaries of those of these files that have one, in no order."""
        ...

    def cleared(self, subjects: Collection[Subject]) -> list[Cleared]:
        """Those of these files that have a summary and nothing against them; the summaries are not read.

        A person let it through, or nobody took it out and its newest screening (of those in the shadow, none) came
        to its end below the queue.
        """
        ...
