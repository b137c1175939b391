"""Writes docs/reference/ and the tables of other pages from the code; with `--check` compares, and checks `prose`.

Run it as `python -m tools.docs`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tools import prose, reference, tables

ROOT = Path(__file__).resolve().parent.parent


def generated() -> dict[str, str]:
    """Every page that the code writes, or a part of it, by its path in the repository."""
    return reference.pages() | tables.pages(ROOT)


def check() -> list[str]:
    """One line for each fault."""
    faults = prose.faults(ROOT)
    for name, text in generated().items():
        page = ROOT / name
        if not page.is_file() or page.read_text(encoding="utf-8") != text:
            faults.append(f"{name}: not what the code says now; run `make docs`.")
    return faults


def write() -> None:
    """Write the generated pages."""
    for name, text in generated().items():
        page = ROOT / name
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(text, encoding="utf-8")
        print(f"Wrote {name}.")


def main(arguments: list[str]) -> int:
    """Write, or check; 1 if there is a fault, 2 if misused."""
    if arguments == ["--check"]:
        faults = check()
        print("\n".join(faults), end="\n" if faults else "")
        return 1 if faults else 0
    if arguments:
        print("Usage: python -m tools.docs [--check]", file=sys.stderr)
        return 2
    write()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
