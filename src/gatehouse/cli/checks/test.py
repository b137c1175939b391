"""`gatehouse checks test`."""

from __future__ import annotations

import time
from pathlib import Path

import click

from gatehouse.cli.checks.folder import FOLDER, registry_of, tell_refused
from gatehouse.core.errors import NotFound
from gatehouse.malware.check import Check
from gatehouse.malware.examples import Result, results_of
from gatehouse.malware.registry import InvalidCheck, Registry

_FAILED = 1
_SUFFIXES = (".py", ".yar", ".md")


@click.command()
@click.argument("name", required=False)
@click.option("--folder", type=FOLDER, help="The checks of this folder instead of Gatehouse's own.")
@click.option("--mutations/--no-mutations", default=True, help="Whether to try mutations of the examples too.")
@click.pass_context
def test(context: click.Context, name: str | None, folder: Path | None, *, mutations: bool) -> None:
    """Run the examples of a check's page, or of all, and their mutations; exit 1 if one comes out otherwise.

    NAME is a check, a file of it, or a folder of checks. A mutation rewrites an example without changing what it
    does: a check that it silences fails, unless its page lists it under "Known evasions".

    Example: gatehouse checks test startup-execution
    """
    if name is not None and folder is None and ("/" in name or name.endswith(_SUFFIXES) or Path(name).is_dir()):
        name, folder = _of_path(Path(name))
    try:
        registry = registry_of(folder)
    except InvalidCheck as error:
        click.echo(f"FAILED  {error.message}")
        context.exit(_FAILED)
    results = [
        result
        for check in (registry.all() if name is None else (registry.get(name),))
        for result in _run(check, registry, with_mutants=mutations)
    ]
    examples = sum(result.mutation is None for result in results)
    failed = sum(result.failed for result in results)
    mutants = f", {len(results) - examples} mutations" if mutations else ""
    click.echo(f"{examples} examples{mutants}, {failed} failed")
    if tell_refused(registry) or failed or not examples:
        context.exit(_FAILED)


def _of_path(path: Path) -> tuple[str | None, Path]:
    if path.is_dir():
        return None, path
    if path.suffix in _SUFFIXES and path.is_file():
        return path.stem.replace("_", "-"), path.parent
    raise NotFound(f"There is no check, file or folder {path}.")


def _run(check: Check, registry: Registry, *, with_mutants: bool) -> list[Result]:
    results: list[Result] = []
    slowest = 0.0
    began = time.process_time()
    for result in results_of(check, registry, with_mutants=with_mutants):
        if result.mutation is None:
            slowest = max(slowest, time.process_time() - began)
        results.append(result)
        _tell(check, result)
        began = time.process_time()
    if slowest * 1000 > check.max_ms:
        click.echo(f"slow    {check.name}  an example takes {slowest * 1000:.0f} ms; its max_ms is {check.max_ms}")
    needless = registry.page(check.name).evasions.keys() - {
        result.mutation.name for result in results if result.mutation is not None and result.known is not None
    }
    if with_mutants:
        for mutation in sorted(needless):
            click.echo(f"note    {check.name}  {mutation} is listed as a known evasion and silences nothing")
    return results


def _tell(check: Check, result: Result) -> None:
    example = result.example
    what = f"{check.name}  {example.expectation}  {example.title} (line {example.line})"
    if result.mutation is None:
        tail = "" if result.fault is None else f": {result.fault}"
        click.echo(f"{'FAILED' if result.failed else 'ok    '}  {what}{tail}")
        return
    after = f"{what}, after {result.mutation.name}"
    if result.failed:
        click.echo(f"FAILED  {after} ({result.mutation.summary}): {result.fault}")
    elif result.known is not None:
        click.echo(f"known   {after}: {result.known}")
    elif result.weaker is not None:
        click.echo(f"weaker  {after}: {result.weaker}")
