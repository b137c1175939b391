"""Writes the lists of popular projects that checks compare with, from a table of an index's projects.

    python tools/popular_names.py TABLE NAMES SUMMARIES [--most 5000] --as-of 2026-11-21

The table is tab-separated, its first line names the columns; `name`, `rank_among_15000_most_downloaded` and
`summary` are read, and no rank is 0. Such a table is made by whoever has the index's statistics of downloads; this
asks nobody. NAMES has the names for `imitated-name`, in bands of ranks, each in alphabetical order, so that a
refresh changes few lines. SUMMARIES has fingerprints of the summaries that belong to one of them alone, for
`borrowed-identity`.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from gatehouse.malware.checks._summaries import fingerprint

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
    for rank, row in _rows(lines, most=most):
        band = next(last for last in BANDS if rank <= last)
        bands.setdefault(band, []).append(_name(row))
    return {band: sorted(set(names)) for band, names in sorted(bands.items())}


def summaries(lines: Iterable[str], *, most: int) -> dict[str, str]:
    """The name of the one project that a summary belongs to, by the summary's fingerprint.

    Args:
        lines: the table.
        most: how many projects there may be.

    Raises:
        KeyError: a column is missing.
    """
    owners: dict[str, set[str]] = {}
    for _, row in _rows(lines, most=most):
        print_ = fingerprint(row["summary"] or "")
        if print_ is not None:
            owners.setdefault(print_, set()).add(_name(row))
    return {print_: next(iter(names)) for print_, names in sorted(owners.items()) if len(names) == 1}


def _rows(lines: Iterable[str], *, most: int) -> Iterator[tuple[int, dict[str, str]]]:
    for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
        rank = int(row[_RANK] or 0)
        if 0 < rank <= most:
            yield rank, row


def _name(row: dict[str, str]) -> str:
    return re.sub(r"[-_.]+", "-", row["name"]).lower()


def written(bands: dict[int, list[str]], *, as_of: str) -> str:
    """The list as a file."""
    head = (
        "# The most downloaded projects by bands of rank, normalized (PEP 503), each in alphabetical order.\n"
        "#\n"
        "# Made by tools/popular_names.py from a table of downloads; do not edit, popular_names.txt is for that.\n"
        f"# As of {as_of}.\n"
    )
    return head + "".join(f"[{band}]\n" + "".join(f"{name}\n" for name in names) for band, names in bands.items())


def written_summaries(owners: dict[str, str], *, as_of: str) -> str:
    """The fingerprints as a file, in the order of names."""
    head = (
        "# Fingerprints of the summaries that belong to one popular project alone, each before its name.\n"
        "#\n"
        "# Made by tools/popular_names.py from a table of downloads; do not edit.\n"
        f"# As of {as_of}.\n"
    )
    lines = sorted((name, print_) for print_, name in owners.items())
    return head + "".join(f"{print_} {name}\n" for name, print_ in lines)


def main(arguments: list[str]) -> int:
    """Write the lists."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("names", type=Path)
    parser.add_argument("summaries", type=Path)
    parser.add_argument("--most", type=int, default=5000)
    parser.add_argument("--as-of", required=True)
    given = parser.parse_args(arguments)
    # One row of such a table may hold a summary of any length.
    csv.field_size_limit(10**7)
    with given.table.open(encoding="utf-8", newline="") as table:
        bands = ranked(table, most=given.most)
        table.seek(0)
        owners = summaries(table, most=given.most)
    given.names.write_text(written(bands, as_of=given.as_of), encoding="utf-8")
    given.summaries.write_text(written_summaries(owners, as_of=given.as_of), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
