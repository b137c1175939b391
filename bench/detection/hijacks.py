"""Hijacked releases that nobody had to suffer: recall on planted attack shapes, and what the difference adds.

There is no public corpus of hijacked releases, so this makes one in memory, at each run, from real packages: a
release of each is given one documented shape (`hijack_shapes`), and is screened with all checks, first by itself
and then with the release before it for comparison. *Queue* and *alert* are the tiers reached. The genuine releases
themselves are screened the same two ways: what the difference alone puts on the desk there is a false alarm.

    .venv/bin/python -m bench.detection.hijacks PAIRS [--projects 24] [--only SHAPE] [--record FILE]

PAIRS holds `before/PROJECT/` and `after/PROJECT/`, each with a wheel, an sdist or both of one release. Which
projects a shape is planted into is told by a hash. Shapes that do not fit a package are left out of its count. A
second wheel is looked at as the index sees it: with the files that lie beside it.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.detection.hijack_shapes import SECOND_WHEEL, SHAPES
from bench.detection.repacking import Package, packed, unpacked

from gatehouse.catalog.distribution import parse_distribution_filename
from gatehouse.core.digests import sha256_hex
from gatehouse.malware import service
from gatehouse.malware.difference import ReleaseSummary, merged
from gatehouse.malware.evaluation.measure import Rate
from gatehouse.malware.job import Job, Report
from gatehouse.malware.model import Kind, Subject, Tier, Verdict
from gatehouse.malware.registry import Registry
from gatehouse.malware.views import FileSummary

_LARGEST = 600_000
_ADDED = ("novel-behaviour", "novel-carrier", "unlike-siblings")


@dataclass(frozen=True, kw_only=True, slots=True)
class Project:
    """Two releases of a project that follow each other: their files by name."""

    name: str
    before: dict[str, bytes]
    after: dict[str, bytes]


@dataclass(kw_only=True, slots=True)
class Row:
    """What came of one shape, or of genuine releases: how many, and how many reached a tier each way."""

    count: int = 0
    alone: dict[Tier, int] = field(default_factory=lambda: defaultdict(int))
    compared: dict[Tier, int] = field(default_factory=lambda: defaultdict(int))
    by: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, alone: Report, compared: Report) -> None:
        """Count one package."""
        self.count += 1
        for tiers, report in ((self.alone, alone), (self.compared, compared)):
            for tier in (Tier.QUEUE, Tier.ALERT):
                tiers[tier] += report.tier >= tier
        for check in {
            each.check for each in verdicts(compared) if each.tier >= Tier.QUEUE and each.check in _ADDED
        }:
            self.by[check] += 1


def verdicts(report: Report) -> Iterator[Verdict]:
    """All verdicts of a report."""
    for screened in report.screened:
        yield from screened.verdicts


def projects_in(folder: Path) -> list[Project]:
    """The projects whose two releases are there, and not too large, by name."""
    found = []
    for after in sorted((folder / "after").iterdir()):
        files = {
            stage: {
                path.name: path.read_bytes()
                for path in sorted((folder / stage / after.name).glob("*"))
                if path.stat().st_size < _LARGEST
            }
            for stage in ("before", "after")
        }
        if files["before"] and files["after"]:
            found.append(Project(name=after.name, before=files["before"], after=files["after"]))
    return found


class Screening:
    """Screens archives with all checks, in this process: what they hold is read and never run."""

    def __init__(self) -> None:
        """Load the checks."""
        self._registry = Registry.load()
        self._summaries: dict[str, ReleaseSummary | None] = {}

    def __call__(
        self,
        filename: str,
        data: bytes,
        *,
        previous: ReleaseSummary | None = None,
        beside: ReleaseSummary | None = None,
    ) -> Report:
        """The report on one archive."""
        return self._run(filename, data, previous=previous, beside=beside)

    def summary(self, files: dict[str, bytes]) -> ReleaseSummary | None:
        """The summary of a release of these files."""
        parts = []
        for filename, data in files.items():
            key = sha256_hex(data)
            if key not in self._summaries:
                self._summaries[key] = self._run(filename, data, with_summary=True).summary
            part = self._summaries[key]
            if part is not None:
                parts.append(part)
        return merged(parts) if parts else None

    def _run(
        self,
        filename: str,
        data: bytes,
        *,
        previous: ReleaseSummary | None = None,
        beside: ReleaseSummary | None = None,
        with_summary: bool = False,
    ) -> Report:
        distribution = parse_distribution_filename(filename)
        subject = Subject(
            source="bench",
            kind=Kind.FILE,
            name=distribution.project,
            version=distribution.version,
            filename=filename,
            sha256=sha256_hex(data),
        )
        here = FileSummary(
            filename=filename, packagetype=distribution.kind, sha256=subject.sha256 or "", size=len(data)
        )
        job = Job(
            subject=subject,
            packagetype=distribution.kind,
            archive_format=distribution.archive_format,
            display_name=distribution.project,
            release_files=(here,),
            project_releases=(distribution.version,),
            previous=previous,
            beside=beside,
            with_summary=with_summary,
        )
        return service.run(job, io.BytesIO(data), self._registry)


def genuine(projects: Iterable[Project], screen: Screening) -> tuple[Row, list[str]]:
    """The genuine releases, and what the difference raises on them at the queue or above."""
    row, alarms = Row(), []
    for project in projects:
        previous = screen.summary(project.before)
        for filename, data in project.after.items():
            others = {name: each for name, each in project.after.items() if name != filename}
            compared = screen(filename, data, previous=previous, beside=screen.summary(others))
            row.add(screen(filename, data), compared)
            alarms += [
                f"{filename}: {each.check} ({each.tier.word}): {each.message}"
                for each in verdicts(compared)
                if each.check in _ADDED and each.tier >= Tier.QUEUE
            ]
        _tell(f"genuine {project.name}")
    return row, alarms


def planted(projects: Sequence[Project], screen: Screening, shapes: Sequence[str], *, each: int) -> dict[str, Row]:
    """Each shape in as many projects as were asked for."""
    rows: dict[str, Row] = {}
    for name in shapes:
        row, shape = rows.setdefault(name, Row()), SHAPES[name]
        for project in _drawn(projects, name):
            hijacked = next(
                (found for found in (shape(unpacked(*file)) for file in _turned(project, name)) if found), None
            )
            if hijacked is not None and row.count < each:
                data = packed(hijacked)
                row.add(
                    screen(hijacked.filename, data),
                    screen(hijacked.filename, data, previous=screen.summary(project.before)),
                )
        _tell(name)
    for name in (name for name in SECOND_WHEEL if name in shapes):
        row = rows[f"second wheel: {name}"] = Row()
        for project in _drawn(projects, name):
            wheel = next((file for file in project.after.items() if file[0].endswith(".whl")), None)
            second = None if wheel is None else SHAPES[name](_again(unpacked(*wheel)))
            if second is not None and row.count < each:
                data = packed(second)
                # Its project is new: there is no release before, but the files beside it.
                row.add(
                    screen(second.filename, data),
                    screen(second.filename, data, beside=screen.summary(project.after)),
                )
        _tell(f"second wheel: {name}")
    return rows


def _again(package: Package) -> Package:
    """The same wheel by another build tag."""
    name, version, tags = package.filename.split("-", 2)
    return replace(
        package, filename=f"{name}-{version}-1{tags}" if tags[0].isdigit() else f"{name}-{version}-1-{tags}"
    )


def _drawn(projects: Sequence[Project], name: str) -> list[Project]:
    return sorted(projects, key=lambda each: hashlib.sha256(f"{name} {each.name}".encode()).digest())


def _turned(project: Project, name: str) -> list[tuple[str, bytes]]:
    """The files of the release after, the wheel first for one half of the shapes and projects."""
    files = sorted(project.after.items())
    turned = hashlib.sha256(f"{project.name} {name}".encode()).digest()[0] % 2
    return files[::-1] if turned else files


def table(rows: dict[str, Row], row_of_genuine: Row, alarms: Sequence[str], projects: int) -> str:
    """The tables, in Markdown."""
    lines = [
        f"{projects} projects, two releases each. Recall by shape, with all checks, alone and compared:",
        "",
        "| shape | planted | queue alone | queue compared | alert alone | alert compared |",
        "|---|---|---|---|---|---|",
    ]
    total = Row()
    for name, row in rows.items():
        lines.append(_line(name, row))
        total.count += row.count
        for tier in (Tier.QUEUE, Tier.ALERT):
            total.alone[tier] += row.alone[tier]
            total.compared[tier] += row.compared[tier]
        for check, count in row.by.items():
            total.by[check] += count
    told = ", ".join(f"{check} {count}" for check, count in sorted(total.by.items()))
    flagged = {alarm.partition(":")[0] for alarm in alarms}
    tiers = ", ".join(
        f"{tier.word} alone {row_of_genuine.alone[tier]}, compared {row_of_genuine.compared[tier]}"
        for tier in (Tier.QUEUE, Tier.ALERT)
    )
    lines += [
        _line("**all**", total),
        "",
        f"- At the queue or above, compared: {_rate(total.compared[Tier.QUEUE], total.count)}.",
        f"- At the queue or above, alone: {_rate(total.alone[Tier.QUEUE], total.count)}.",
        f"- By checks of the difference, at the queue or above: {told}.",
        "",
        f"Genuine releases of the same projects, {row_of_genuine.count} files: {tiers}.",
        "",
        f"- Flagged by the difference: {_rate(len(flagged), row_of_genuine.count)}.",
        *(f"- {alarm}" for alarm in alarms),
        "",
    ]
    return "\n".join(lines)


def _rate(hits: int, total: int) -> str:
    rate = Rate(hits=hits, total=total)
    return f"{hits}/{total} = {rate.share:.1%} ({rate.interval.low:.1%} to {rate.interval.high:.1%})"


def _line(name: str, row: Row) -> str:
    cells = [str(tiers[tier]) for tier in (Tier.QUEUE, Tier.ALERT) for tiers in (row.alone, row.compared)]
    return f"| {name} | {row.count} | {' | '.join(cells)} |"


def _tell(what: str) -> None:
    if sys.stderr.isatty():
        print(what, file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--projects", type=int, default=24, help="how many each shape is planted into")
    parser.add_argument("--only", action="append", help="a shape alone, and no genuine release; may be repeated")
    parser.add_argument("--record", type=Path, help="a file that the tables are written to")
    options = parser.parse_args(arguments)
    projects = projects_in(options.pairs)
    screen = Screening()
    row, alarms = (Row(), []) if options.only else genuine(projects, screen)
    shapes = [name for name in SHAPES if not options.only or name in options.only]
    tables = table(planted(projects, screen, shapes, each=options.projects), row, alarms, len(projects))
    print(tables)
    if options.record:
        options.record.write_text(tables, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
