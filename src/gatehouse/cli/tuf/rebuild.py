"""`gatehouse tuf rebuild`."""

from __future__ import annotations

from contextlib import closing, nullcontext
from pathlib import Path

import click

from gatehouse.cli.common import settings_from_environment
from gatehouse.cli.progress import progress
from gatehouse.core.digests import sha256_hex
from gatehouse.core.errors import OperatorError
from gatehouse.gate.keep.rebuild import Rebuilt
from gatehouse.home import owned
from gatehouse.initialise import trusted_root_path
from gatehouse.settings import Settings
from gatehouse.storage.sql.database import SqlDatabase
from gatehouse.storage.sql.migrate import upgrade
from gatehouse.wiring.keeping import build_rebuild


@click.command()
@click.option("--from-store", is_flag=True, required=True, help="From the metadata that is served.")
@click.option(
    "--root",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The trusted root, kept apart from the store. Without it the store's own first root is believed.",
)
@click.option(
    "--replace", is_flag=True, help="Write over the signing state of a database that is behind the store."
)
def rebuild(*, from_store: bool, root: Path | None, replace: bool) -> None:
    """Write the signing state of the database anew, from the metadata that is served.

    For a database that was lost, or restored from a backup and is now behind what clients hold. Everything is
    proved from the root; the store is not written. Stop the server first; start it afterwards.

    Example: gatehouse tuf rebuild --from-store --replace --root 1.root.json
    """
    del from_store  # click has asked for it: there may be other sources one day, and none is the obvious one
    settings = settings_from_environment()
    trusted = _read(root, settings)
    with owned(settings.home) if settings.embedded else nullcontext():
        _tell(_rebuild(settings, trusted, replace=replace))


def _rebuild(settings: Settings, trusted: bytes, *, replace: bool) -> Rebuilt:
    upgrade(settings.database)
    with closing(SqlDatabase(settings.database)) as database, progress() as step:
        return build_rebuild(settings, database)(
            trusted, replace=replace, step=lambda number, of: step("bins", number, of)
        )


def _read(root: Path | None, settings: Settings) -> bytes:
    path = root or trusted_root_path(settings)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise OperatorError(f"Cannot read the trusted root {path}: {error.strerror}.") from error
    if root is None:
        click.echo(f"Trusting the store's own root: compare its SHA-256 with your record: {sha256_hex(data)}")
    return data


def _tell(done: Rebuilt) -> None:
    click.echo(
        f"Rebuilt snapshot {done.snapshot_version} and timestamp {done.timestamp_version}: {done.roles} roles, "
        f"{done.targets} targets. The next publisher's epoch is above {done.epoch}."
    )
    click.echo(f"Changes that waited: {done.covered} were published already, {done.waiting} wait on.")
    if done.dropped_imports:
        click.echo(
            f"{done.dropped_imports} bins had imported targets that were not published yet: repeat the import."
        )
    if done.unknown_files or done.unknown_pages:
        click.echo(
            f"The catalog does not know {done.unknown_files} files and {done.unknown_pages} pages that stay "
            "signed, since they came after the backup: have them uploaded again."
        )
