"""`gatehouse tuf conformance`."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from gatehouse.cli.spans import SPAN
from gatehouse.conformance.folder import RecordingFolder
from gatehouse.conformance.report import Report
from gatehouse.conformance.suite import ALL_LAWS, Options, play_all
from gatehouse.core.errors import CallerError
from gatehouse.malware.inert import inert

#: The exit code where a law was broken.
BROKEN = 1
_MAX_SAID = 600


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--sample", type=click.IntRange(1), default=5000, help="The most cases of each law to try.")
@click.option("--all", "everything", is_flag=True, help="Try every case, however many there are.")
@click.option("--seed", type=int, default=0, help="Draws another sample; the same seed draws the same.")
@click.option(
    "--grace", type=SPAN, default="1h", help="Longest life of an answer in a cache plus the longest session."
)
@click.option("--law", "laws", multiple=True, help="Try this law alone; may be repeated.")
@click.option("--laws", "listing", is_flag=True, help="Print what each law demands, and end.")
def conformance(
    *,
    folder: Path | None,
    sample: int,
    everything: bool,
    seed: int,
    grace: timedelta,
    laws: tuple[str, ...],
    listing: bool,
) -> None:
    """Try whether every state of a recorded repository can be taken by every client, with python-tuf's own.

    FOLDER is what `gatehouse tuf observe` wrote. Exits 0 when every law held, 1 when one was broken.

    Example: gatehouse tuf conformance recording --grace 10m
    """
    if listing:
        for law in ALL_LAWS:
            click.echo(f"{law.name:<16}{law.sentence}")
        return
    if folder is None:
        raise CallerError("Name the folder of a recording; `gatehouse tuf observe` writes one.")
    recording = RecordingFolder(folder).load()
    options = Options(sample=None if everything else sample, seed=seed, grace=grace, laws=frozenset(laws))
    began = time.perf_counter()
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("")
        report = play_all(
            recording,
            options,
            progress=lambda law, done, cases: bar.update(task, description=law, completed=done, total=cases),
        )
    _print(report, time.perf_counter() - began, seed)
    if report.failed:
        raise SystemExit(BROKEN)


def _print(report: Report, seconds: float, seed: int) -> None:
    click.echo(f"{'law':<16}{'cases':>19}{'plays':>9}{'retried':>9}{'failed':>8}")
    for tally in report.tallies:
        cases = str(tally.cases) if tally.tried == tally.cases else f"{tally.tried} of {tally.cases}"
        click.echo(f"{tally.law:<16}{cases:>19}{tally.plays:>9}{tally.transient:>9}{tally.failed:>8}")
    for violation in report.violations:
        click.echo(f"{violation.law}: {inert(f'{violation.where}: {violation.said}', limit=_MAX_SAID)}")
    told = report.failed - len(report.violations)
    if told:
        click.echo(f"… and {told} more.")
    sampled = any(tally.tried < tally.cases for tally in report.tallies)
    click.echo(
        f"{report.states} states, {report.plays} plays ({report.sessions} different sessions) in {seconds:.1f} s, "
        f"{report.plays / seconds:,.0f} a second{f'; sampled with seed {seed}' if sampled else ''}."
    )
    if report.states == 1:
        click.echo("There is one state, so nothing that changes was tried.", err=True)
