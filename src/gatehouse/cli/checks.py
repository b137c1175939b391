"""`gatehouse checks list | new | test`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from gatehouse.core.errors import Conflict, OperatorError
from gatehouse.malware import checks as own_checks
from gatehouse.malware.check import Check
from gatehouse.malware.examples import fault_of
from gatehouse.malware.model import Kind
from gatehouse.malware.registry import InvalidCheck, Registry
from gatehouse.malware.scaffold import scaffold

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FAILED = 1


@click.group()
def checks() -> None:
    """List, begin and test malware checks.

    Example: gatehouse checks list
    """


@checks.command(name="list")
@click.option("--folder", type=_FOLDER, help="The checks of this folder instead of Gatehouse's own.")
def list_checks(folder: Path | None) -> None:
    """List all checks: name, version, kind of subject, highest tier, summary.

    Example: gatehouse checks list
    """
    for check in _registry(folder).all():
        click.echo(
            f"{check.name}  version {check.version}  {check.kind.value}  "
            f"up to {check.ceiling.word}  {check.summary}"
        )


@checks.command()
@click.argument("name")
@click.option(
    "--kind", type=click.Choice([kind.value for kind in Kind]), default=Kind.FILE.value, show_default=True
)
@click.option("--folder", type=_FOLDER, help="Where to write it; without, beside the other checks of a checkout.")
def new(name: str, kind: str, folder: Path | None) -> None:
    """Write the module and the page of a new check that passes its own test.

    Example: gatehouse checks new hidden-socket --kind file
    """
    made = scaffold(name, Kind(kind))
    if any(check.name == name for check in Registry.load().all()):
        raise Conflict(f"There is a check {name} already.")
    where = folder or _default_folder()
    texts = {where / f"{made.stem}.md": made.page, where / f"{made.stem}.py": made.module}
    for path in texts:
        if path.exists():
            raise Conflict(f"There is a file {path.name} already.")
    written: list[Path] = []
    try:
        for path, text in texts.items():
            with path.open("x", encoding="utf-8") as file:
                written.append(path)
                file.write(text)
    except OSError as error:
        for path in written:
            path.unlink()
        raise OperatorError(f"The check cannot be written: {error.strerror}.") from error
    for path in texts:
        click.echo(f"wrote {path}")
    option = "" if folder is None and where != Path() else f" --folder {where}"
    click.echo(f"Next: edit both, then run `gatehouse checks test {name}{option}`.")


@checks.command()
@click.argument("name", required=False)
@click.option("--folder", type=_FOLDER, help="The checks of this folder instead of Gatehouse's own.")
@click.pass_context
def test(context: click.Context, name: str | None, folder: Path | None) -> None:
    """Run the examples of one check's page, or of all; exit 1 if one does not come out as its page says.

    Example: gatehouse checks test startup-execution
    """
    try:
        registry = _registry(folder)
    except InvalidCheck as error:
        click.echo(f"FAILED  {error.message}")
        context.exit(_FAILED)
    failed = total = 0
    for check in registry.all() if name is None else (registry.get(name),):
        faults = _faults(check, registry)
        total += len(faults)
        failed += sum(fault is not None for fault in faults)
    click.echo(f"{total} examples, {failed} failed")
    if failed or not total:
        context.exit(_FAILED)


def _faults(check: Check, registry: Registry) -> list[str | None]:
    faults = []
    for example in registry.page(check.name).examples:
        fault = fault_of(example, check, registry)
        word = "ok    " if fault is None else "FAILED"
        tail = "" if fault is None else f": {fault}"
        click.echo(f"{word}  {check.name}  {example.expectation}  {example.title} (line {example.line}){tail}")
        faults.append(fault)
    return faults


def _registry(folder: Path | None) -> Registry:
    return Registry.load() if folder is None else Registry.of_folder(folder)


def _default_folder() -> Path:
    package = Path(own_checks.__path__[0])
    # Only in a checkout: an installed package is not where anybody's work belongs.
    is_checkout = (package.parents[3] / "pyproject.toml").is_file()
    return package if is_checkout and os.access(package, os.W_OK) else Path()
