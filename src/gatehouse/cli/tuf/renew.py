"""`gatehouse tuf renew`."""

from __future__ import annotations

import click

from gatehouse.cli.tuf.publish import publish_now


@click.command()
@click.option(
    "--clock-is-right",
    is_flag=True,
    help="The clock ran ahead at the newest publication: sign as of now, whoever seems to hold the lease.",
)
def renew(*, clock_is_right: bool) -> None:
    """Sign every online role anew, due or not.

    Example: gatehouse tuf renew
    """
    publish_now(renew_all=True, clock_is_right=clock_is_right)
