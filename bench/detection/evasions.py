"""How much of what is found stays found after it was rewritten so as not to be.

A number of malicious archives that reach the queue are drawn from the open part of a corpus, one of a cluster.
Each is taken apart in memory, the members that its findings name are rewritten by one form after another
(`evasion_forms`), and what comes of it is screened with all checks. A rewritten archive *stays* found if it
reaches the queue. Forms that do not fit an archive are left out of its count. INCOMPLETE with a finding counts by
the finding; INCOMPLETE without one has its own column, since such a file is never published unseen.

    .venv/bin/python -m bench.detection.evasions CORPUS [--samples 120] [--minutes M] [--only FORM] [--record FILE]

Nothing is run, and nothing is written but names of forms and counts; what got away goes to the standard error, by
cluster. With `--minutes` no further archive is begun after so long; the table says how many there were.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench.detection.evasion_forms import FORMS
from bench.detection.repacking import Package, packed, unpacked

from gatehouse.core.digests import sha256_hex
from gatehouse.core.errors import CallerError
from gatehouse.gate.replay import read_as
from gatehouse.gate.screen_archives import job_of
from gatehouse.malware import service
from gatehouse.malware.evaluation.measure import Rate
from gatehouse.malware.evaluation.model import Label, Specimen, Split, one_a_group
from gatehouse.malware.job import Report
from gatehouse.malware.model import Context, Outcome, Tier
from gatehouse.malware.registry import Registry
from gatehouse.storage.corpus import Corpus

_LARGEST = 400_000
_MEMBERS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Try:
    """What came of one form on one archive."""

    form: str
    group: str
    stays: bool
    incomplete: bool


@dataclass(kw_only=True, slots=True)
class Row:
    """What came of one form."""

    tried: int = 0
    stays: int = 0
    incomplete: int = 0


_REGISTRY: list[Registry] = []


def _screened(filename: str, data: bytes) -> Report:
    if not _REGISTRY:
        _REGISTRY.append(Registry.load())
    try:
        job = job_of(filename, sha256_hex(data), len(data))
    except CallerError:
        end = next((end for end in ("-py3-none-any.whl", ".zip") if filename.endswith(end[-4:])), ".tar.gz")
        job = job_of(f"unnamed-1.0{end}", sha256_hex(data), len(data))
    return service.run(job, io.BytesIO(data), _REGISTRY[0])


def _found_in(report: Report, package: Package) -> list[str]:
    """The Python members that the surest findings name, a few, the surest first."""
    found: dict[str, int] = defaultdict(int)
    for screened in report.screened:
        reached = {each.check: each.tier for each in screened.verdicts}
        for finding in screened.findings:
            path = finding.member
            if path in package.files and finding.context is not Context.ARCHIVE and path.endswith((".py", ".pyw")):
                found[path] = max(found[path], int(reached.get(finding.check, Tier.NONE)))
    kept = sorted(
        (path for path, tier in found.items() if tier >= Tier.QUEUE), key=lambda path: (-found[path], path)
    )
    return kept[:_MEMBERS]


def tries(specimen: Specimen, data: bytes, only: str) -> list[Try]:
    """Every form on one archive; none if the archive itself is not found, or not by its code."""
    warnings.simplefilter("ignore")
    filename = read_as(specimen.name, data)
    try:
        package = unpacked(filename, data)
    except Exception:  # noqa: BLE001 -- an archive that the standard library cannot take apart is no subject here
        return []
    before = _screened(filename, data)
    if before.tier < Tier.QUEUE or not (paths := _found_in(before, package)):
        return []
    done = []
    for name, form in FORMS.items():
        if only and only != name:
            continue
        changed: Package | None = None
        for path in paths:
            target = package if changed is None else changed
            # A form that makes another archive has done with this one.
            if path in target.files:
                changed = form(target, path) or changed
        if changed is None:
            continue
        after = _screened(changed.filename, packed(changed))
        done.append(
            Try(
                form=name,
                group=specimen.group,
                stays=after.tier >= Tier.QUEUE,
                incomplete=after.outcome is Outcome.INCOMPLETE and after.tier < Tier.QUEUE,
            )
        )
    return done


def drawn(corpus: Corpus) -> Iterator[Specimen]:
    """The malicious archives of the open part, one of a cluster, in an order that a hash tells."""
    specimens = [each for each in one_a_group(corpus.specimens, Split.OPEN) if each.label is Label.MALICIOUS]
    return iter(sorted(specimens, key=lambda each: hashlib.sha256(f"evasions {each.group}".encode()).digest()))


def table(rows: dict[str, Row], samples: int) -> str:
    """The table, in Markdown."""
    lines = [
        f"{samples} archives of as many clusters that reach the queue.",
        "",
        "| form | fits | stays found | incomplete only | got away |",
        "|---|---|---|---|---|",
    ]
    total = Row()
    for name in FORMS:
        row = rows.get(name, Row())
        total.tried += row.tried
        total.stays += row.stays
        total.incomplete += row.incomplete
        lines.append(_line(name, row))
    rate = Rate(hits=total.stays, total=total.tried)
    lines += [
        _line("**all**", total),
        "",
        f"Stays found: {rate.share:.1%} ({rate.interval.low:.1%} to {rate.interval.high:.1%}).",
        "",
    ]
    return "\n".join(lines)


def _line(name: str, row: Row) -> str:
    share = f" ({row.stays / row.tried:.0%})" if row.tried else ""
    away = row.tried - row.stays - row.incomplete
    return f"| {name} | {row.tried} | {row.stays}{share} | {row.incomplete} | {away} |"


def _all_tries(corpus: Corpus, pool: ProcessPoolExecutor, only: str, jobs: int) -> Iterator[list[Try]]:
    """What came of each archive, in the order in which they are drawn; a few are begun ahead."""
    begun: list[Future[list[Try]]] = []
    for specimen in drawn(corpus):
        data = corpus.read(specimen)
        if len(data) <= _LARGEST:
            begun.append(pool.submit(tries, specimen, data, only))
        if len(begun) > 2 * jobs:
            yield begun.pop(0).result()
    yield from (future.result() for future in begun)


def _count(row: Row, done: Try) -> None:
    row.tried += 1
    row.stays += done.stays
    row.incomplete += done.incomplete


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--samples", type=int, default=120)
    parser.add_argument("--only", default="", help="one form alone")
    parser.add_argument("--record", type=Path, help="a file that the table is written to")
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="begin no further archive after so long"
    )
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args(arguments)
    rows: dict[str, Row] = defaultdict(Row)
    samples = 0
    until = time.monotonic() + 60 * options.minutes
    with Corpus.open(options.corpus) as corpus, ProcessPoolExecutor(options.jobs) as pool:
        for done in _all_tries(corpus, pool, options.only, options.jobs):
            if samples == options.samples or time.monotonic() > until:
                break
            samples += bool(done)
            for each in done:
                _count(rows[each.form], each)
                if not each.stays:
                    print(samples, each.group, each.form, file=sys.stderr, flush=True)
    tables = table(rows, samples)
    print(tables)
    if options.record:
        options.record.write_text(tables, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
