"""Writes the ranked list of popular names that `imitated-name` compares with, from a table of an index's projects.

    python tools/popular_names.py TABLE OUTPUT [--most 5000] [--as-of 2026-11-21]

The table is tab-separated, its first line names the columns; `name` and `rank_among_15000_most_downloaded` are
read, and no rank is 0. Such a table is made by whoever has the index's statistics of downloads; this asks nobody.
The list is in bands of ranks, each in alphabetical order, so that a refresh changes few lines.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from collections.abc import Iterable
from pathlib import Path

BANDS = (100, 500, 1000, 2000, 5000, 15_000)
_RANK = "rank_among_15000_most_downloaded"


def ranked(lines: Iterable[str], *, most: int) -> dict[int, list[str]]:
    """The names of each band, by its last rank.

    Args:
        lines: the table.
        most: how many names there may be.

    Raises:
        KeyError: a column is missing.
    """
    bands: dict[int, list[str]] = {}
    for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
        rank = int(row[_RANK] or 0)
        if 0 < rank <= most:
            band = next(last for last in BANDS if rank <= last)
            bands.setdefault(band, []).append(re.sub(r"[-_.]+", "-", row["name"]).lower())
    return {band: sorted(set(names)) for band, names in sorted(bands.items())}


def written(bands: dict[int, list[str]], *, as_of: str) -> str:
    """The list as a file."""
    head = (
        "# The most downloaded projects by bands of rank, normalized (PEP 503), each in alphabetical order.\n"
        "#\n"
        "# Made by tools/popular_names.py from a table of downloads; do not edit, popular_names.txt is for that.\n"
        f"# As of {as_of}.\n"
    )
    return head + "".join(f"[{band}]\n" + "".join(f"{name}\n" for name in names) for band, names in bands.items())


def main(arguments: list[str]) -> int:
    """Write the list."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--most", type=int, default=5000)
    parser.add_argument("--as-of", required=True)
    given = parser.parse_args(arguments)
    # One row of such a table may hold a summary of any length.
    csv.field_size_limit(10**7)
    with given.table.open(encoding="utf-8", newline="") as table:
        bands = ranked(table, most=given.most)
    given.output.write_text(written(bands, as_of=given.as_of), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
