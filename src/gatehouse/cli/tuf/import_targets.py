"""`gatehouse tuf import-targets`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self, TextIO

import click

from gatehouse.cli.opened import opened
from gatehouse.cli.progress import progress
from gatehouse.cli.tuf.publish import publish_and_tell
from gatehouse.core.errors import OperatorError
from gatehouse.gate.import_targets import Imported
from gatehouse.gate.importing.reading import Refusal, TargetList
from gatehouse.gate.importing.rows import ListFormat
from gatehouse.wiring import Gatehouse
from gatehouse.wiring.keeping import build_import

#: The exit code where rows were refused.
REFUSED = 1
_STDIN = "-"


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--format",
    "given",
    type=click.Choice([each.value for each in ListFormat]),
    help="How the lists are written; without it each file's name says so.",
)
@click.option("--replace", is_flag=True, help="Let a listed target take the place of one with other content.")
@click.option("--strict", is_flag=True, help="Import nothing if any row has a fault, and name the first.")
@click.option("--dry-run", is_flag=True, help="Only say what would come of it.")
@click.option("--publish", is_flag=True, help="Publish at the end; a server that runs publishes by itself.")
@click.option(
    "--rejects",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("import-rejects.jsonl"),
    show_default=True,
    help="Where refused rows are listed, a JSON line each, if there are any.",
)
@click.option(
    "--spool",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder with room for all rows while they are sorted, 200 bytes each; the home without it.",
)
def import_targets(files: tuple[str, ...], given: str | None, publish: bool, **options: Any) -> None:  # noqa: ANN401, FBT001 -- click's own
    """Import lists of targets: files and pages of an index that exists already.

    A list has a row for each target: path, sha256 and length, as CSV with these names in its first line or as JSON
    lines; gzip is recognised, and - reads standard input. What ends early goes on when the same is imported again.
    Exits 1 if rows were refused.

    Example: gatehouse tuf import-targets targets.csv.gz --publish
    """
    with opened() as gatehouse:
        done = _import(gatehouse, files, given, **options)
        if publish and not options["dry_run"]:
            publish_and_tell(gatehouse)
    if done.counts.refused:
        sys.exit(REFUSED)


def _import(
    gatehouse: Gatehouse,
    files: tuple[str, ...],
    given: str | None,
    *,
    rejects: Path,
    spool: Path | None,
    dry_run: bool,
    **options: bool,
) -> Imported:
    began = time.monotonic()
    with ExitStack() as stack:
        lists = [stack.enter_context(_list(name, given)) for name in files]
        story = stack.enter_context(build_import(gatehouse, spool or gatehouse.settings.home))
        refuse = stack.enter_context(_Rejects(rejects))
        step = stack.enter_context(progress())
        done = story(lists, refuse=refuse, step=step, dry_run=dry_run, **options)
    _tell(done, time.monotonic() - began, rejects, dry_run=dry_run)
    return done


@contextmanager
def _list(name: str, given: str | None) -> Iterator[TargetList]:
    """Open a list."""
    if name == _STDIN:
        if given is None:
            raise click.UsageError("Say how standard input is written: --format csv or --format jsonl.")
        yield TargetList(name="standard input", stream=sys.stdin.buffer, format=ListFormat(given), size=0)
        return
    path = Path(name)
    ending = Path(path.name.removesuffix(".gz")).suffix.removeprefix(".")
    if given is None and ending not in [each.value for each in ListFormat]:
        raise click.UsageError(f"{path.name} ends in neither .csv nor .jsonl (nor .gz after it): add --format.")
    try:
        stream = path.open("rb")
    except OSError as error:
        raise OperatorError(f"Cannot read {name}: {error.strerror}.") from error
    with stream:
        yield TargetList(name=name, stream=stream, format=ListFormat(given or ending), size=path.stat().st_size)


class _Rejects:
    """Lists refused rows in a file, which is made for the first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None

    def __enter__(self) -> Self:
        return self

    def __call__(self, refusal: Refusal) -> None:
        """Add a row."""
        row = {"list": refusal.list, "line": refusal.line, "reason": refusal.reason}
        try:
            if self._file is None:
                self._file = self._path.open("w", encoding="utf-8")
            self._file.write(f"{json.dumps(row)}\n")
        except OSError as error:
            raise OperatorError(f"Cannot write {self._path}: {error.strerror}.") from error

    def __exit__(self, *_error: object) -> None:
        if self._file is not None:
            self._file.close()


def _tell(done: Imported, seconds: float, rejects: Path, *, dry_run: bool) -> None:
    counts = done.counts
    if done.resumed_at:
        click.echo(f"Went on with import {done.id}, which had stopped.")
    head = "Would import" if dry_run else f"Import {done.id}:"
    click.echo(
        f"{head} {counts.loaded:,} new, {counts.replaced:,} replaced, {counts.unchanged:,} there already; "
        f"{counts.refused:,} refused. {done.rows:,} well-formed rows in {seconds:.1f} s, "
        f"{done.rows / seconds:,.0f} a second."
    )
    if counts.refused:
        click.echo(f"What is refused is listed in {rejects}, and why.")
