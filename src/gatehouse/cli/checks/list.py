"""`gatehouse checks list`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gatehouse.cli.checks.folder import FOLDER, registry_of, tell_idle, tell_refused
from gatehouse.cli.checks.show import ledger_words
from gatehouse.cli.common import settings_from_environment
from gatehouse.gate.check_book import CheckBook
from gatehouse.initialise import is_initialised
from gatehouse.wiring import build


@click.command()
@click.option("--folder", type=FOLDER, help="The checks of this folder instead of Gatehouse's own.")
def list(folder: Path | None) -> None:  # noqa: A001 -- the group finds a command by its name
    """List all checks: name, version, kind of subject, highest tier, summary; exit 1 if a pack is refused.

    Where there is a repository: where each stands instead of its ceiling, and what its alarms were worth.

    Example: gatehouse checks list
    """
    registry = registry_of(folder)
    known = {} if folder is not None else _known()
    checks = registry.all()
    reaches = {check.name: known.get(check.name, f"up to {check.ceiling.word}") for check in checks}
    widest = max(map(len, reaches), default=0)
    longest = max(map(len, reaches.values()), default=0)
    for check in checks:
        click.echo(
            f"{check.name:<{widest}}  version {check.version}  {check.kind.value:<7}  "
            f"{reaches[check.name]:<{longest}}  {check.summary}"
        )
    if folder is None:
        tell_idle()
    if tell_refused(registry):
        sys.exit(1)


def _known() -> dict[str, str]:
    """Where each check stands and what it is worth, if there is a repository to say so."""
    settings = settings_from_environment()
    if not is_initialised(settings):
        return {}
    gatehouse = build(settings)
    try:
        gatehouse.lifecycle.sync()
        book = CheckBook(database=gatehouse.database, clock=gatehouse.clock, lifecycle=gatehouse.lifecycle)
        return {line.name: f"{line.standing.word}  {ledger_words(line.ledger)}" for line in book.lines()}
    finally:
        gatehouse.close()
