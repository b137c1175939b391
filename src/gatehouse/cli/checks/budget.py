"""`gatehouse checks budget`."""

from __future__ import annotations

import click

from gatehouse.cli.common import settings_from_environment
from gatehouse.malware.model import Tier
from gatehouse.malware.weighing.model import SHIPPED
from gatehouse.wiring import alert_budget


@click.command()
def budget() -> None:
    """Show where the tiers begin by the alert budget of the settings, and how well that is founded.

    The budget is `uploads_a_day`, `queue_a_day` and `alerts_a_day`. What the benign archives of the training show
    is given with its Wilson 95 % bound: a budget below it is aimed at, and not shown to hold.

    Example: gatehouse checks budget
    """
    settings = settings_from_environment()
    wanted = alert_budget(settings)
    for tier, what in ((Tier.QUEUE, "the queue's"), (Tier.ALERT, "that of alerts")):
        support, rate = SHIPPED.support(tier, wanted), wanted.rate(tier)
        shown = support.interval.high
        click.echo(
            f"{tier.word}: begins at a score of {support.threshold:.3f}. Asked for: "
            f"{rate * wanted.uploads:g} false alarms a day among {wanted.uploads:,} uploads ({rate:.3%})."
        )
        needed = f"{support.needed:,}" if support.needed else "more than any"
        more = f"to show {what} takes {needed} without one"
        ending = "the budget holds" if shown <= rate else more
        click.echo(
            f"  {support.reached:,} of {support.archives:,} benign archives reach it, which shows less than "
            f"{shown:.2%} (95 %), {shown * wanted.uploads:,.0f} a day: {ending}."
        )
