"""`gatehouse checks state`."""

from __future__ import annotations

import click

from gatehouse.cli.checks.working import actor
from gatehouse.cli.opened import opened
from gatehouse.malware.lifecycle import Standing, State
from gatehouse.malware.model import Tier


@click.command()
@click.argument("name")
@click.argument("state", type=click.Choice([state.value for state in State]), metavar="STATE")
@click.option(
    "--tier",
    type=click.Choice([tier.word for tier in Tier]),
    help="Of an enabled check: the highest tier it may reach; without: its own ceiling.",
)
@click.option("--reason", required=True, help="Why; it is kept for ever, with your name.")
def state(name: str, state: str, tier: str | None, reason: str) -> None:
    """Let a check take a step: to draft, shadow, enabled or retired. It holds from the next screening on.

    A promotion queues a retro-hunt over all that the index holds.

    Example: gatehouse checks state startup-execution shadow --reason "too many false alarms on tracers"
    """
    with opened() as gatehouse:
        gatehouse.lifecycle.sync()
        enabled = State(state) is State.ENABLED
        own = gatehouse.lifecycle.registry().get(name).ceiling if enabled else Tier.NONE
        step = gatehouse.lifecycle.move(
            name,
            Standing(state=State(state), tier=own if tier is None else Tier.from_word(tier)),
            actor=actor(),
            reason=reason,
        )
        fault = gatehouse.lifecycle.fault()
    click.echo(f"{name} {step.change.version} is {step.change.standing.word}.")
    if step.retro_hunt is not None:
        click.echo(
            f"Run {step.retro_hunt} looks for it in all that the index holds: the server works on it, or "
            f"`gatehouse checks run work {step.retro_hunt}`."
        )
    if fault is not None:
        click.echo(f"WARNING  {fault}", err=True)
