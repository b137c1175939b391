"""`gatehouse verdicts export`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import click

from gatehouse.cli.opened import opened
from gatehouse.gate.export_verdicts import ExportVerdicts
from gatehouse.malware.export.jsonl import jsonl
from gatehouse.malware.export.osv import osv
from gatehouse.malware.export.sarif import sarif
from gatehouse.malware.model import Classification
from gatehouse.wiring import Gatehouse, load_checks

_MOMENTS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]


@click.command()
@click.option("--format", "form", type=click.Choice(["jsonl", "osv", "sarif"]), default="jsonl", show_default=True)
@click.option(
    "--since", type=click.DateTime(_MOMENTS), help="Only what ended or was decided then or after, in UTC."
)
@click.option("--shadow", is_flag=True, help="With the screenings in the shadow, which alarmed nobody.")
@click.option(
    "--kind",
    type=click.Choice([kind.value for kind in Classification]),
    help="Only findings of that kind (jsonl, sarif): spam never waits on the desk, and is read here.",
)
def export(form: str, since: datetime | None, kind: str | None, *, shadow: bool) -> None:
    """Write every screening (jsonl, sarif), or what people removed as malicious (osv), to standard output.

    Example: gatehouse verdicts export --format jsonl --since 2026-11-01
    """
    with opened() as gatehouse:
        moment = None if since is None else since.replace(tzinfo=UTC)
        wanted = None if kind is None else Classification(kind)
        for piece in _pieces(gatehouse, form, moment, shadow=shadow, kind=wanted):
            sys.stdout.write(piece)


def _pieces(
    gatehouse: Gatehouse, form: str, since: datetime | None, *, shadow: bool, kind: Classification | None
) -> Iterator[str]:
    story = ExportVerdicts(database=gatehouse.database)
    if form == "osv":
        return osv(story.malicious(since=since))
    screenings = story.screenings(since=since, shadow=shadow, kind=kind)
    return jsonl(screenings) if form == "jsonl" else sarif(screenings, load_checks(gatehouse.settings))
