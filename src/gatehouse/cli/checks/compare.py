"""`gatehouse checks compare`."""

from __future__ import annotations

import sys

import click

from gatehouse.cli.checks.working import (
    actor,
    opened_for_work,
    require_right_version,
    tell,
    tell_differences,
    work,
)
from gatehouse.gate.ports import NewRun, RunKind

_DIFFERENT = 1


@click.command()
@click.argument("name")
@click.option("--against", help="The version whose stored results to compare with; without: this version's own.")
@click.option("--sample", type=click.IntRange(min=1), help="So many, drawn at random; without: all there are.")
@click.option("--seed", help="Draw the same sample again; without: one that nobody knew before, and is printed.")
@click.option("--jobs", type=click.IntRange(min=1, max=64), help="How many at once; without: one a core.")
def compare(name: str, against: str | None, sample: int | None, seed: str | None, jobs: int | None) -> None:
    """Run a check again over what the index holds, and compare with what was stored. Exits 1 on a difference.

    Example: gatehouse checks compare startup-execution --against 1 --sample 500
    """
    with opened_for_work(jobs) as gatehouse:
        version, kind = require_right_version(gatehouse, name)
        new = NewRun(
            kind=RunKind.REPLAY,
            check=name,
            version=version,
            subjects=kind,
            actor=actor(),
            reason="asked for on the command line",
            against=against or version,
            sample=sample,
            seed=seed,
        )
        run = work(gatehouse, gatehouse.runs.begin(new))
        tell(run)
        tell_differences(gatehouse, run)
    if run.counts.different:
        sys.exit(_DIFFERENT)
