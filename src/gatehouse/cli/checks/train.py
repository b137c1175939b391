"""`gatehouse checks train`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from gatehouse.cli.common import settings_from_environment
from gatehouse.malware.evaluation.record import from_json
from gatehouse.malware.weighing.model import FILE, SHIPPED
from gatehouse.malware.weighing.recipe import learn, to_toml
from gatehouse.wiring import load_checks

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("records", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--output", type=_FILE, default=FILE, help="The file to write. Without: the one of this program.")
def train(records: tuple[Path, ...], output: Path) -> None:
    """Learn what findings are worth from recorded replays, and write the file of weights.

    RECORDS are files that `gatehouse checks replay --record` wrote. The same records give the same weights. The
    file is for people to review; a process that runs goes on with what it has loaded.

    Example: gatehouse checks train bench/detection/20261130-2039-open.json --output weights.toml
    """
    runs = [from_json(path.read_bytes()) for path in records]
    learned = learn(
        [result for run in runs for result in run.results],
        load_checks(settings_from_environment()).all(),
        version=int(SHIPPED.version) + 1,
        at=datetime.now(UTC),
        sources=" ".join(path.name for path in records),
    )
    output.write_text(to_toml(learned), encoding="utf-8")
    told = learned.model.training
    click.echo(
        f"Learned from {told['malicious']} malicious and {told['benign']} benign archives: log loss "
        f"{told['loss']} on groups that were left out, {told['loss_untrained']} untrained. Written to {output}."
    )
