"""`gatehouse checks show`, and the words for a ledger."""

from __future__ import annotations

import click

from gatehouse.cli.common import moment, span
from gatehouse.cli.opened import opened
from gatehouse.gate.check_book import CheckBook, CheckPage
from gatehouse.gate.ports import CostShare
from gatehouse.malware.ledger import Ledger


@click.command()
@click.argument("name")
def show(name: str) -> None:
    """Show where a check stands and how it came there, its ledger, its cost and its runs.

    Example: gatehouse checks show startup-execution
    """
    with opened() as gatehouse:
        gatehouse.lifecycle.sync()
        book = CheckBook(database=gatehouse.database, clock=gatehouse.clock, lifecycle=gatehouse.lifecycle)
        page = book.page(name)
    _tell(page)


def ledger_words(ledger: Ledger) -> str:
    """A ledger in a line."""
    words = f"{ledger.true} true, {ledger.false} false, {ledger.unsure} unsure, {ledger.open} open"
    if ledger.settled:
        words += f"; precision {ledger.precision.low:.2f} to {ledger.precision.high:.2f} (95 %)"
    return words


def _tell(page: CheckPage) -> None:
    line = page.line
    click.echo(f"{line.name}  version {line.version}  {line.kind}  {line.summary}")
    click.echo(
        f"  stands      {line.standing.word}, since {moment(line.since)}; its ceiling is {line.ceiling.word}"
    )
    click.echo(f"  alarms      {ledger_words(line.ledger)}")
    click.echo(f"  unique      {line.ledger.unique} true ones that no other check raised")
    click.echo(f"  a day       {line.ledger.a_day:.1f}")
    if line.ledger.to_decision is not None:
        click.echo(f"  decided     after {span(line.ledger.to_decision)} (median)")
    if line.shadow.alarms:
        click.echo(f"  in shadow   {ledger_words(line.shadow)}")
    click.echo(f"  cost        {_cost(line.cost)}")
    for earlier in page.earlier:
        click.echo(f"  version {earlier.version}   {earlier.standing.word}; {ledger_words(earlier.ledger)}")
    if page.timetable is not None:
        ran = page.timetable
        click.echo(
            f"  timetable   ran {moment(ran.started_at)}: {ran.outcome.value}, {ran.found} found, {ran.fresh} new"
        )
    for change in page.history:
        click.echo(
            f"  {moment(change.at)}  version {change.version}  {change.standing.word}  by {change.actor}: "
            f"{change.reason}"
        )
    for run in page.runs:
        click.echo(f"  run {run.id}  {run.new.kind.value}  {run.state.value}  {run.counts.done} of {run.total}")


def _cost(cost: CostShare | None) -> str:
    if cost is None:
        return "not measured yet"
    return f"{1000 * cost.each:.1f} ms of processor time a screening, {100 * cost.share:.0f} % of all checks"
