"""Progress of long work, on a terminal and nowhere else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, TaskID


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """Show how far each part has come while the block runs.

    Gives a function of a part's name, how much of it is done, and of how much (0: nobody knows).
    """
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bars:
        known: dict[str, TaskID] = {}

        def step(part: str, done: int, of: int) -> None:
            if part not in known:
                known[part] = bars.add_task(part, total=of or None)
            bars.update(known[part], completed=done, total=of or None)

        yield step
