"""`gatehouse checks run list | show | work | pause | resume | cancel`."""

from __future__ import annotations

import click

from gatehouse.cli.checks.working import actor, opened_for_work, tell, tell_differences, work
from gatehouse.cli.common import moment
from gatehouse.cli.opened import opened
from gatehouse.gate.ports import RunState

_LISTED = 50


@click.group()
def run() -> None:
    """Runs of checks over what the index holds: backfills, replays, retro-hunts.

    Example: gatehouse checks run list
    """


@run.command(name="list")
def list_runs() -> None:
    """List the newest runs: number, kind, check, state, how far.

    Example: gatehouse checks run list
    """
    with opened() as gatehouse, gatehouse.database.read() as transaction:
        runs = transaction.runs.recent(limit=_LISTED)
    if not runs:
        click.echo("There are no runs.")
    for each in runs:
        new, counts = each.new, each.counts
        click.echo(
            f"{each.id}  {new.kind.value}  {new.check} {new.version}  {each.state.value}  {counts.done} of "
            f"{each.total}  {counts.reached} at the queue or above  {moment(each.created_at)}  {new.actor}"
        )


@run.command()
@click.argument("number", type=int)
def show(number: int) -> None:
    """Show how a run stands, and what a replay found differently.

    Example: gatehouse checks run show 1
    """
    with opened() as gatehouse:
        found = gatehouse.runs.get(number)
        tell(found)
        tell_differences(gatehouse, found)


@run.command(name="work")
@click.argument("number", type=int)
@click.option("--jobs", type=click.IntRange(min=1, max=64), help="How many at once; without: one a core.")
def work_on(number: int, jobs: int | None) -> None:
    """Work on a run, beside whoever else does, until nothing of it is left.

    Example: gatehouse checks run work 1
    """
    with opened_for_work(jobs) as gatehouse:
        tell(work(gatehouse, gatehouse.runs.get(number)))


@run.command()
@click.argument("number", type=int)
def pause(number: int) -> None:
    """Pause a run: what is under way is finished, nothing new is begun.

    Example: gatehouse checks run pause 1
    """
    _move(number, RunState.PAUSED)


@run.command()
@click.argument("number", type=int)
def resume(number: int) -> None:
    """Let a paused run go on.

    Example: gatehouse checks run resume 1
    """
    _move(number, RunState.RUNNING)


@run.command()
@click.argument("number", type=int)
def cancel(number: int) -> None:
    """Cancel a run: what is stored stays, what is under way is thrown away.

    Example: gatehouse checks run cancel 1
    """
    _move(number, RunState.CANCELLED)


def _move(number: int, state: RunState) -> None:
    with opened() as gatehouse:
        tell(gatehouse.runs.move(number, state, actor=actor()))
