"""`gatehouse checks new`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from gatehouse.core.errors import CallerError, Conflict, OperatorError
from gatehouse.malware import checks as own_checks
from gatehouse.malware.model import Kind
from gatehouse.malware.registry import Registry
from gatehouse.malware.scaffold import pack_files, scaffold


@click.command()
@click.argument("name")
@click.option(
    "--kind", type=click.Choice([kind.value for kind in Kind]), default=Kind.FILE.value, show_default=True
)
@click.option("--rule", is_flag=True, help="Make it of YARA-X rules, and not a Python module.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to write it, made if it is not there; without, beside the other checks of a checkout.",
)
@click.option(
    "--pack",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write it into the pack in this folder; the pack is begun if there is none.",
)
def new(name: str, kind: str, folder: Path | None, pack: Path | None, *, rule: bool) -> None:
    """Write the two files of a new check that passes its own test: a module or rules, and a page.

    Example: gatehouse checks new hidden-socket --kind file
    """
    if folder is not None and pack is not None:
        raise CallerError("Say --folder or --pack, and not both.")
    made = scaffold(name, Kind(kind), rule=rule)
    if any(check.name == name for check in Registry.load().all()):
        raise Conflict(f"There is a check {name} already.")
    where, texts = (folder or _default_folder(), {}) if pack is None else _pack(pack)
    _write({**texts, **{where / file: text for file, text in made.files.items()}}, where, made.stem)
    option = "" if folder is None and pack is None and where != Path() else f" --folder {where}"
    click.echo(f"Next: edit both, then run `gatehouse checks test {name}{option}`.")


def _pack(root: Path) -> tuple[Path, dict[Path, str]]:
    """The folder for checks of the pack in a folder, and the files to write if there is no pack yet."""
    if not (root / "pyproject.toml").exists():
        files = {root / path: text for path, text in pack_files(root.resolve().name).items()}
        return next(path.parent for path in files if path.name == "__init__.py"), files
    packages = sorted(path.parent for path in root.glob("src/*/__init__.py"))
    if len(packages) != 1:
        raise CallerError(
            f"{root} has {len(packages)} packages below src: say with --folder which one holds checks."
        )
    return packages[0], {}


def _write(texts: dict[Path, str], where: Path, stem: str) -> None:
    """Write all files, or none."""
    for path in (*texts, *(where / f"{stem}{suffix}" for suffix in (".py", ".yar"))):
        if path.exists():
            raise Conflict(f"There is a file {path.name} already.")
    written: list[Path] = []
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                written.append(path)
                file.write(text)
    except OSError as error:
        for path in written:
            path.unlink()
        raise OperatorError(f"The check cannot be written: {error.strerror}.") from error
    for path in texts:
        click.echo(f"wrote {path}")


def _default_folder() -> Path:
    package = Path(own_checks.__path__[0])
    # Only in a checkout: an installed package is not where anybody's work belongs.
    is_checkout = (package.parents[3] / "pyproject.toml").is_file()
    return package if is_checkout and os.access(package, os.W_OK) else Path()
