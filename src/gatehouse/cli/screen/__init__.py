"""`gatehouse screen`: archives and folders, without a server."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from gatehouse.cli.common import MISUSE, settings_from_environment
from gatehouse.cli.screen.formats import FORMATS
from gatehouse.gate.ports import Screener
from gatehouse.gate.screen_archives import ArchiveResult, archives_in, compared, screen_archive
from gatehouse.malware.model import Outcome, Tier
from gatehouse.wiring import build_screener

FOUND = 1


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(sorted(FORMATS)), default="text", help="How to print results.")
@click.option("--previous", type=click.Path(path_type=Path), help="The release before: mark what it did not have.")
def screen(paths: tuple[Path, ...], form: str, previous: Path | None) -> None:
    """Screen archives, or folders of them, without a server; a source folder is read like an sdist.

    Exits 0 when nothing reached the queue tier, 1 when something did, 2 when anything is incomplete or misused.

    Example: gatehouse screen --format jsonl dist/
    """
    settings = settings_from_environment({"screening_slots": os.cpu_count()})
    archives = archives_in(paths)
    with build_screener(settings) as screener:
        before = list(_screened(screener, archives_in([previous]), settings.screening_slots)) if previous else []
        results = []
        with FORMATS[form](sys.stdout) as write:
            for result in _screened(screener, archives, settings.screening_slots):
                marked = compared(result, before) if previous else result
                results.append(marked)
                write(marked)
    sys.exit(_exit_code(results))


def _screened(screener: Screener, archives: Sequence[Path], slots: int) -> Iterator[ArchiveResult]:
    """The results in the order of the archives, with progress on a terminal."""
    with (
        tempfile.TemporaryDirectory(prefix="gatehouse-screen-") as folder,
        ThreadPoolExecutor(slots) as pool,
        _progress(len(archives)) as step,
    ):

        def run(numbered: tuple[int, Path]) -> ArchiveResult:
            scratch = Path(folder) / str(numbered[0])
            scratch.mkdir()
            return screen_archive(screener, numbered[1], scratch=scratch)

        for result in pool.map(run, enumerate(archives)):
            step()
            yield result


@contextmanager
def _progress(total: int) -> Iterator[Callable[[], None]]:
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("screening", total=total)
        yield lambda: progress.advance(task)


def _exit_code(results: Sequence[ArchiveResult]) -> int:
    if any(result.outcome is Outcome.INCOMPLETE for result in results):
        return MISUSE
    return FOUND if any(result.tier >= Tier.QUEUE for result in results) else 0
