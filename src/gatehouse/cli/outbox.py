"""`gatehouse outbox list | retry | drop`."""

from __future__ import annotations

import click

from gatehouse.cli.checks.working import actor
from gatehouse.cli.common import moment
from gatehouse.cli.opened import opened
from gatehouse.core.errors import OperatorError
from gatehouse.gate.letters import PAGE, Letters
from gatehouse.malware.inert import inert
from gatehouse.wiring import Gatehouse

_SHOWN = 300


@click.group()
def outbox() -> None:
    """Look at work that failed for good; have it tried again, or give it up.

    Example: gatehouse outbox list
    """


@outbox.command(name="list")
@click.option("--offset", type=click.IntRange(min=0), default=0, help="Leave out so many of the oldest.")
def list_letters(offset: int) -> None:
    """List dead letters, the oldest first, after what waits by topic.

    Example: gatehouse outbox list
    """
    with opened() as gatehouse:
        letters = _letters(gatehouse)
        for topic, count in letters.waiting().items():
            click.echo(f"waiting  {topic}  {count}")
        found = letters.list(offset=offset)
    for each in found:
        message = each.letter.message
        about = "" if each.file is None else f"  {each.file.filename} ({each.file.state.value})"
        click.echo(
            f"dead  {message.id}  {message.topic}{about}  made {moment(message.created_at)}  "
            f"{message.attempts} attempts  {inert(each.letter.error, limit=_SHOWN)}"
        )
    if len(found) == PAGE:
        click.echo(f"There may be more: --offset {offset + PAGE}")
    if not found:
        click.echo("There are no dead letters.")


@outbox.command()
@click.argument("numbers", type=int, nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All there are.")
def retry(numbers: tuple[int, ...], *, everything: bool) -> None:
    """Have dead letters worked on again.

    Example: gatehouse outbox retry 17
    """
    if bool(numbers) == everything:
        raise OperatorError("Name the numbers of dead letters, or say --all.")
    with opened() as gatehouse:
        letters = _letters(gatehouse)
        done = 0
        while everything and (found := letters.list()):
            for each in found:
                letters.retry(each.letter.message.id, actor=actor())
                done += 1
        for number in numbers:
            letters.retry(number, actor=actor())
            done += 1
    click.echo(f"{done} to be tried again.")


@outbox.command()
@click.argument("number", type=int)
@click.option("--reason", required=True, help="Why; it is kept in the audit log.")
def drop(number: int, reason: str) -> None:
    """Give up a dead letter for good.

    Example: gatehouse outbox drop 17 --reason "the cache it was for is gone"
    """
    with opened() as gatehouse:
        _letters(gatehouse).drop(number, actor=actor(), reason=reason)
    click.echo(f"Gave up message {number}.")


def _letters(gatehouse: Gatehouse) -> Letters:
    return Letters(database=gatehouse.database, clock=gatehouse.clock)
