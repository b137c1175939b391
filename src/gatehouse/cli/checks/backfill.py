"""`gatehouse checks backfill`."""

from __future__ import annotations

import click

from gatehouse.cli.checks.working import actor, opened_for_work, require_right_version, tell, work
from gatehouse.gate.ports import NewRun, RunKind


@click.command()
@click.argument("name")
@click.option("--sample", type=click.IntRange(min=1), help="So many, drawn at random; without: all there are.")
@click.option("--seed", help="Draw the same sample again; without: one that nobody knew before, and is printed.")
@click.option("--reason", default="asked for on the command line", show_default=True, help="Why; it is kept.")
@click.option("--jobs", type=click.IntRange(min=1, max=64), help="How many at once; without: one a core.")
@click.option("--queue", is_flag=True, help="Leave the work to the server.")
def backfill(
    name: str, sample: int | None, seed: str | None, reason: str, jobs: int | None, *, queue: bool
) -> None:
    """Run a check over what the index holds, whatever its state. It holds and alerts nothing; results are stored.

    Example: gatehouse checks backfill startup-execution --sample 1000
    """
    with opened_for_work(jobs) as gatehouse:
        version, kind = require_right_version(gatehouse, name)
        run = gatehouse.runs.begin(
            NewRun(
                kind=RunKind.BACKFILL,
                check=name,
                version=version,
                subjects=kind,
                actor=actor(),
                reason=reason,
                sample=sample,
                seed=seed,
            )
        )
        tell(run if queue else work(gatehouse, run))
