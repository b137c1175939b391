"""`gatehouse tuf renew`."""

from __future__ import annotations

import click

from gatehouse.cli.tuf.publish import publish_now


@click.command()
def renew() -> None:
    """Sign every online role anew, due or not.

    Example: gatehouse tuf renew
    """
    publish_now(renew_all=True)
