"""What people let through, and what is therefore known when it comes again."""

from __future__ import annotations

from typing import Protocol

from gatehouse.malware.model import Subject


class SettledFindings(Protocol):
    """The findings that people let through (`malware.settled`)."""

    def of(self, release: Subject) -> frozenset[str]:
        """The keys of all findings that a person had before their eyes when they let a release's file through.

        A file counts while that is the last decision on it.
        """
        ...
