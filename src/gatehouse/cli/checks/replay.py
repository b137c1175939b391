"""`gatehouse checks replay`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click

from gatehouse.cli.checks.folder import FOLDER
from gatehouse.cli.common import settings_from_environment
from gatehouse.cli.progress import progress
from gatehouse.core.errors import CallerError
from gatehouse.gate.ports import Screener
from gatehouse.gate.replay import replay as run
from gatehouse.malware.evaluation.again import weighed_again
from gatehouse.malware.evaluation.measure import changes, figures
from gatehouse.malware.evaluation.model import Result, Split, one_a_group
from gatehouse.malware.evaluation.record import Record, from_json, to_json
from gatehouse.malware.evaluation.tables import markdown
from gatehouse.malware.lifecycle import Plan
from gatehouse.malware.model import ENGINE_VERSION
from gatehouse.settings import Settings
from gatehouse.storage.corpus import Corpus
from gatehouse.wiring import build_plan, build_screener, load_checks


@click.command()
@click.option("--corpus", "folders", type=FOLDER, multiple=True, help="A folder with a corpus.toml.")
@click.option(
    "--split",
    type=click.Choice([split.value for split in Split]),
    default=Split.OPEN.value,
    show_default=True,
    help="Which groups: the fixed quarter that is held back is read for a recorded run alone.",
)
@click.option("--jobs", type=click.IntRange(1, 64), help="How many archives at once. Without: one for each core.")
@click.option("--record", "kept", type=FOLDER, help="Keep the run here, and compare with the one before.")
@click.option(
    "--weigh-again",
    "recorded",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Instead of a corpus: a record, whose findings are weighed by the weights and the budget of now.",
)
def replay(
    folders: tuple[Path, ...], split: str, jobs: int | None, kept: Path | None, recorded: Path | None
) -> None:
    """Run all checks over labelled archives: what is caught, what is flagged for nothing, and what it costs.

    Malicious archives are read from git objects into memory and screened in isolated children; none is written
    to a disk. One archive a cluster counts.

    Example: gatehouse checks replay --corpus corpus --record bench/detection
    """
    if bool(folders) == bool(recorded):
        raise click.UsageError("Give --corpus, or --weigh-again with a record.")
    settings = settings_from_environment({"screening_slots": jobs or min(os.cpu_count() or 1, 64)})
    if recorded is None:
        record = _screened(folders, Split(split), settings)
    else:
        record = _weighed_again(from_json(recorded.read_bytes()), settings)
    before = None if kept is None else _latest(kept, like=record)
    table = markdown(
        record,
        figures(record.results),
        changes=None if before is None else changes(before[1].results, record.results),
        before="" if before is None else before[0],
    )
    if kept is not None:
        _keep(kept, record, table)
    click.echo(table, nl=False)


def _screened(folders: Sequence[Path], split: Split, settings: Settings) -> Record:
    registry = load_checks(settings)
    plan = build_plan(settings, registry)
    with ExitStack() as opened:
        corpora = [opened.enter_context(Corpus.open(folder)) for folder in folders]
        screener = opened.enter_context(build_screener(settings))
        screener.start()
        results = tuple(_run(corpora, split, screener, plan, settings.screening_slots))
    return Record(
        at=datetime.now(UTC),
        corpus="+".join(corpus.name for corpus in corpora),
        split=split,
        engine=ENGINE_VERSION,
        checks={check.name: check.version for check in registry.all()},
        results=results,
    )


def _weighed_again(record: Record, settings: Settings) -> Record:
    checks = {
        check.name: check
        for check in load_checks(settings).all()
        if record.checks.get(check.name) == check.version
    }
    model = build_plan(settings, load_checks(settings)).model
    return replace(
        record,
        at=datetime.now(UTC),
        checks={name: check.version for name, check in checks.items()},
        results=tuple(weighed_again(result, checks, model) for result in record.results),
    )


def _run(corpora: Sequence[Corpus], split: Split, screener: Screener, plan: Plan, slots: int) -> Iterator[Result]:
    chosen = [(corpus, one_a_group(corpus.specimens, split)) for corpus in corpora]
    total, done = sum(len(specimens) for _, specimens in chosen), 0
    if not total:
        raise CallerError("No archive of the corpus belongs to that split.")
    with progress() as step:
        for corpus, specimens in chosen:
            for result in run(corpus, specimens, screener, plan=plan, slots=slots):
                done += 1
                step("screening", done, total)
                yield result


def _latest(kept: Path, *, like: Record) -> tuple[str, Record] | None:
    """The last run of the same corpus and split that the folder keeps, with its name."""
    runs = []
    for path in sorted(kept.glob(f"*-{like.split.value}.json")):
        run = from_json(path.read_bytes())
        if run.corpus == like.corpus:
            runs.append((path.stem, run))
    return max(runs, key=lambda each: each[1].at, default=None)


def _keep(kept: Path, record: Record, table: str) -> None:
    stem = f"{record.at:%Y%m%d-%H%M}-{record.split.value}"
    (kept / f"{stem}.json").write_text(to_json(record), encoding="utf-8")
    (kept / f"{stem}.md").write_text(table, encoding="utf-8")
