"""What the commands about runs share: working on one with all cores, and saying how it stands."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from getpass import getuser

import click
from rich.console import Console
from rich.progress import Progress

from gatehouse.cli.common import settings_from_environment
from gatehouse.cli.opened import opened
from gatehouse.core.errors import OperatorError
from gatehouse.gate.ports import Run, RunKind, RunState
from gatehouse.malware.model import Kind
from gatehouse.wiring import Gatehouse, build_backfill, build_screener

#: Beyond one a slot: while a worker stores what it found, another keeps its core busy.
SPARE_WORKERS = 1
_SUBJECTS = {Kind.FILE: "files", Kind.RELEASE: "releases", Kind.PROJECT: "projects"}


def actor() -> str:
    """Who acts on this command line, for what is kept for ever."""
    try:
        return f"{getuser()} (command line)"
    except (OSError, KeyError):
        return "command line"


@contextmanager
def opened_for_work(jobs: int | None) -> Iterator[Gatehouse]:
    """The repository, with as many screenings at once as were asked for: all cores without."""
    settings = settings_from_environment({"screening_slots": jobs or os.cpu_count() or 1})
    with opened(settings) as gatehouse:
        gatehouse.lifecycle.sync()
        yield gatehouse


def work(gatehouse: Gatehouse, run: Run) -> Run:
    """Work on a run with all slots until nothing of it is left to take; how it stands then.

    Raises:
        OperatorError: nothing can be screened here.
    """
    console = Console(stderr=True)
    with (
        build_screener(gatehouse.settings) as screener,
        Progress(console=console, transient=True, disable=not console.is_terminal) as progress,
        ThreadPoolExecutor(gatehouse.settings.screening_slots + SPARE_WORKERS) as pool,
    ):
        screener.start()
        backfill = build_backfill(gatehouse, screener)
        task = progress.add_task(f"run {run.id}: {run.new.check}", total=run.total, completed=run.counts.done)
        stopping: list[bool] = []

        def pull() -> None:
            while not stopping and (after := backfill.work_once(run.id)) is not None:
                progress.update(task, completed=after.counts.done)

        workers = [pool.submit(pull) for _ in range(gatehouse.settings.screening_slots + SPARE_WORKERS)]
        try:
            for worker in workers:
                worker.result()
        except BaseException:
            # Also at Ctrl-C: what is under way is finished, and the rest waits for the next time.
            stopping.append(True)
            raise
    return gatehouse.runs.get(run.id)


def tell(run: Run) -> None:
    """How a run stands, in a few lines."""
    new, counts = run.new, run.counts
    over = f"a sample of {new.sample} (seed {new.seed})" if new.sample else "all"
    against = f" against version {new.against}" if new.against else ""
    click.echo(f"run {run.id}  {new.kind.value}  {new.check} {new.version}{against}  {run.state.value}")
    click.echo(f"  over        {over}: {counts.done} of {run.total} {_SUBJECTS[new.subjects]}")
    click.echo(f"  clean       {counts.clean}")
    click.echo(f"  flagged     {counts.flagged} ({counts.reached} at the queue or above)")
    if counts.incomplete:
        click.echo(f"  INCOMPLETE  {counts.incomplete}: not looked at to the end, so not clean")
    if counts.gone:
        click.echo(f"  gone        {counts.gone}")
    if new.kind is RunKind.REPLAY:
        click.echo(
            f"  the same    {counts.same}, different {counts.different}, not comparable {counts.incomparable}"
        )
    if new.kind is RunKind.RETRO_HUNT:
        click.echo(f"  screened again, with all checks: {counts.rescreened}")
    if run.state is RunState.RUNNING and counts.done < run.total:
        click.echo(f"  goes on with `gatehouse checks run work {run.id}`, or in a server")


def tell_differences(gatehouse: Gatehouse, run: Run, *, limit: int = 50) -> None:
    """What a replay found differently, one finding a line."""
    with gatehouse.database.read() as transaction:
        differences = transaction.runs.differences(run.id, limit=limit)
    for difference in differences:
        subject = difference.subject
        name = subject.filename or " ".join(filter(None, (subject.name, subject.version)))
        for sign, lines in (("+", difference.gained), ("-", difference.lost)):
            for message, member in lines:
                click.echo(f"  {sign} {name}  {member or ''}  {message}")
    if run.counts.different > len(differences):
        click.echo(f"  and {run.counts.different - len(differences)} subjects more")


def require_right_version(gatehouse: Gatehouse, name: str) -> tuple[str, Kind]:
    """The version of the check that is here, and what it reads.

    Raises:
        NotFound: there is no such check.
        OperatorError: it has a timetable, and reads no file, release or project by itself.
    """
    check = gatehouse.lifecycle.registry().get(name)
    if check.schedule is not None:
        raise OperatorError(f"{name} has a timetable: it reads the index as it is, and has no past to run over.")
    return check.version, check.kind
