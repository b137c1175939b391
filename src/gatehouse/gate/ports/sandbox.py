"""Whoever runs a screening job, somewhere that the package can do no harm."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from gatehouse.malware.job import Job, Report


class Screener(Protocol):
    """Runs jobs. Safe to use from many threads."""

    def screen(self, job: Job, archive: Path) -> Report:
        """Run a job on an archive.

        Whatever the package does to the one who reads it (a crash, a signal, running out of time or memory, an
        answer that cannot be read) is an INCOMPLETE result with its reason, never an error.

        Raises:
            OperatorError: nothing can be screened at all here.
        """
        ...
