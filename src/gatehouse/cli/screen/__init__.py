"""`gatehouse screen`: archives and folders, without a server."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import click

from gatehouse.cli.common import MISUSE, settings_from_environment
from gatehouse.cli.progress import progress
from gatehouse.cli.screen.formats import text
from gatehouse.gate.ports import Screener
from gatehouse.gate.screen_archives import Before, archives_in, malicious, screen_archive
from gatehouse.malware.export.jsonl import jsonl
from gatehouse.malware.export.model import Exported
from gatehouse.malware.export.osv import osv
from gatehouse.malware.export.sarif import sarif
from gatehouse.malware.lifecycle import Plan
from gatehouse.malware.model import Outcome, Tier
from gatehouse.settings import Settings
from gatehouse.wiring import build_plan, build_screener, load_checks

FOUND = 1
#: Archives that are begun for each job that runs: enough that none waits, few enough to hold their results.
_AHEAD = 4


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--format", "form", type=click.Choice(["jsonl", "osv", "sarif", "text"]), default="text", show_default=True
)
@click.option(
    "--previous",
    type=click.Path(path_type=Path),
    help="The release before, an archive or a folder of them: say what is new.",
)
@click.option("--jobs", type=click.IntRange(1, 64), help="How many archives at once. Without: one for each core.")
def screen(paths: tuple[Path, ...], form: str, previous: Path | None, jobs: int | None) -> None:
    """Screen archives, or folders of them, without a server; a source folder is read like an sdist.

    Exits 0 when nothing reached the queue tier, 1 when something did, 2 when anything is incomplete or misused.

    Example: gatehouse screen --format jsonl dist/

    Example: gatehouse screen --previous example-1.0.tar.gz example-1.1.tar.gz
    """
    settings = settings_from_environment({"screening_slots": jobs or min(os.cpu_count() or 1, 64)})
    archives = archives_in(paths)
    ending = _Ending()
    out = sys.stdout  # before progress puts itself in its place
    with build_screener(settings) as screener:
        screener.start()  # where nothing can be screened, nothing is printed either
        slots, before = settings.screening_slots, None
        plan = build_plan(settings, load_checks(settings))
        if previous:
            before = Before(_screened(screener, archives_in([previous]), plan, slots, with_summary=True))
        results = ending.watch(_screened(screener, archives, plan, slots, before=before))
        for piece in _pieces(form, results, settings):
            out.write(piece)
            out.flush()
    sys.exit(ending.code)


def _pieces(form: str, results: Iterable[Exported], settings: Settings) -> Iterator[str]:
    match form:
        case "jsonl":
            return jsonl(results)
        case "sarif":
            return sarif(results, load_checks(settings))
        case "osv":
            now = datetime.now(UTC)
            return osv(record for result in results if (record := malicious(result, now)) is not None)
        case _:
            return text(results)


def _screened(
    screener: Screener,
    archives: Sequence[Path],
    plan: Plan,
    slots: int,
    *,
    before: Before | None = None,
    with_summary: bool = False,
) -> Iterator[Exported]:
    """The results in the order of the archives, with progress on a terminal."""
    with (
        tempfile.TemporaryDirectory(prefix="gatehouse-screen-") as folder,
        ThreadPoolExecutor(slots) as pool,
        progress() as step,
    ):

        def run(number: int) -> Exported:
            scratch = Path(folder) / str(number)
            scratch.mkdir()
            return screen_archive(
                screener, archives[number], plan=plan, scratch=scratch, before=before, with_summary=with_summary
            )

        step("screening", 0, len(archives))
        begun: list[Future[Exported]] = []
        for number in range(len(archives)):
            while len(begun) < min(len(archives), number + _AHEAD * slots):
                begun.append(pool.submit(run, len(begun)))
            result = begun[number].result()
            begun[number] = Future()  # what was handed on is not held here
            step("screening", number + 1, len(archives))
            yield result


class _Ending:
    """What the exit code will be, from the results as they go by."""

    def __init__(self) -> None:
        self._incomplete = False
        self._found = False

    def watch(self, results: Iterable[Exported]) -> Iterator[Exported]:
        for result in results:
            self._incomplete |= result.outcome is Outcome.INCOMPLETE
            self._found |= result.tier >= Tier.QUEUE
            yield result

    @property
    def code(self) -> int:
        if self._incomplete:
            return MISUSE
        return FOUND if self._found else 0
