"""Packs of checks as they are when they are installed, written by hand into a folder that is on the path."""

from __future__ import annotations

from pathlib import Path

from gatehouse.malware.check import CHECK_API
from gatehouse.malware.model import Kind
from gatehouse.malware.scaffold import scaffold

INIT = f"CHECK_API = {CHECK_API}\n"


def install_pack(  # every part of it may be wrong
    site: Path,
    name: str,
    *,
    checks: tuple[str, ...] = ("made-up",),
    init: str = INIT,
    group: str = "gatehouse.checks",
    package: str | None = None,
    version: str = "1",
) -> Path:
    """Install a pack of scaffolded checks; the folder of its package.

    Args:
        site: a folder that is on the path.
        name: the distribution's name.
        checks: their names.
        init: the text of the package's `__init__.py`.
        group: of its entry point.
        package: what the entry point names; without: the distribution's name as a module.
        version: the distribution's.
    """
    stem = name.replace("-", "_")
    folder = site / stem
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "__init__.py").write_text(init)
    for check in checks:
        for file, text in scaffold(check, Kind.FILE).files.items():
            (folder / file).write_text(text)
    info = site / f"{stem}-{version}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[{group}]\nmain = {package or stem}\n")
    return folder
