"""`gatehouse tuf observe`."""

from __future__ import annotations

import contextlib
import time
from datetime import timedelta
from pathlib import Path

import click

from gatehouse.cli.common import moment
from gatehouse.cli.spans import SPAN
from gatehouse.cli.tuf.conformance import BROKEN
from gatehouse.conformance.folder import RecordingFolder
from gatehouse.conformance.live import LiveFetcher, check_url
from gatehouse.conformance.observe import Observer, Sight, Unreachable
from gatehouse.core.clock import SystemClock
from gatehouse.core.errors import CallerError
from gatehouse.malware.inert import inert

_MAX_SAID = 600


@click.command()
@click.option("--metadata-url", required=True, help="Where the repository's metadata is.")
@click.option("--targets-url", help="Where its targets are; without, their content is not fetched.")
@click.option(
    "--root", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The root to trust first."
)
@click.option("--path", "paths", multiple=True, required=True, help="A target to look up; may be repeated.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Where to record.")
@click.option("--every", type=SPAN, default="60s", help="How long to wait between two looks.")
@click.option("--for", "lasting", type=SPAN, help="How long to watch; without, one look.")
@click.option("--grace", type=SPAN, default="1h", help="Ask again for what sessions so old may still need.")
@click.option("--largest", type=click.IntRange(0), default=1_000_000, help="Longest target to fetch, in bytes.")
def observe(
    *,
    metadata_url: str,
    targets_url: str | None,
    root: Path,
    paths: tuple[str, ...],
    out: Path,
    every: timedelta,
    lasting: timedelta | None,
    grace: timedelta,
    largest: int,
) -> None:
    """Record a live TUF repository, for `gatehouse tuf conformance`; a state is added when something changed.

    Exits 1 when the newest look found a state that a new client refuses.

    Example: gatehouse tuf observe --metadata-url http://127.0.0.1:6458/tuf/metadata/ --root 1.root.json
    --path simple/ham/index.html --out recording --every 60s --for 1d
    """
    folder = RecordingFolder(out)
    _begin(folder, root, paths)
    fetcher = LiveFetcher()
    with folder.owned(), contextlib.closing(fetcher):
        observer = Observer(
            folder=folder,
            fetcher=fetcher,
            clock=SystemClock(),
            metadata_url=check_url(metadata_url),
            targets_url=None if targets_url is None else check_url(targets_url),
            largest=largest,
            grace=grace,
        )
        refused = _watch(observer, every.total_seconds(), 0.0 if lasting is None else lasting.total_seconds())
    if refused:
        raise SystemExit(BROKEN)


def _begin(folder: RecordingFolder, root: Path, paths: tuple[str, ...]) -> None:
    try:
        trusted = root.read_bytes()
    except OSError as error:
        raise CallerError(f"Cannot read the root {root}: {error.strerror}.") from error
    if not folder.exists:
        folder.create(trusted, paths)
        return
    known, looked_up, _ = folder.begun()
    if (known, set(looked_up)) != (trusted, set(paths)):
        raise CallerError("The folder holds a recording with another root or other paths: choose a new one.")


def _watch(observer: Observer, every: float, lasting: float) -> bool:
    """Look until the time is over or the user ends it; whether the newest state was refused."""
    end = time.monotonic() + lasting
    refused = False
    try:
        while True:
            sight = _look(observer, patient=lasting > 0)
            if isinstance(sight, Sight):
                refused = sight.fault is not None
                _print(sight)
            if time.monotonic() + every > end:
                break
            time.sleep(every)
    except KeyboardInterrupt:
        click.echo("Ended; the recording is whole.", err=True)
    observer.settle()
    return refused


def _look(observer: Observer, *, patient: bool) -> Sight | Unreachable | None:
    try:
        return observer.look()
    except Unreachable as error:
        if not patient:
            raise
        click.echo(f"{inert(error.message, limit=_MAX_SAID)} Looking again later.", err=True)
        return error


def _print(sight: Sight) -> None:
    found = sum(expected is not None for expected in sight.state.expected.values())
    told = f"{moment(sight.state.moment)}  state {sight.number}: {sight.state.label}, {found} targets found"
    click.echo(inert(told, limit=_MAX_SAID))
    if sight.fault is not None:
        click.echo(f"REFUSED  {inert(sight.fault, limit=_MAX_SAID)}")
