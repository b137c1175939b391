"""Screening archives on a disk, without an index: what `gatehouse screen` does."""

from __future__ import annotations

import hashlib
import io
import tarfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from gatehouse.catalog.distribution import parse_distribution_filename
from gatehouse.core.errors import CallerError
from gatehouse.core.names import InvalidName, normalize_name
from gatehouse.gate.ports import Screener
from gatehouse.malware.job import Job
from gatehouse.malware.model import Finding, Kind, NotExamined, Outcome, Subject, Tier
from gatehouse.malware.views import FileSummary

SUFFIXES = (".whl", ".tar.gz", ".zip")
_SOURCE_MARKS = ("pyproject.toml", "setup.py", "setup.cfg", "PKG-INFO")


@dataclass(frozen=True, kw_only=True, slots=True)
class ArchiveResult:
    """The result of one archive: file, release and project together.

    `new` has, for each finding in order, whether the release before did not have it; empty without one.
    """

    file: str
    sha256: str
    outcome: Outcome
    tier: Tier
    score: float
    findings: tuple[Finding, ...]
    not_examined: tuple[NotExamined, ...]
    incomplete_reason: str | None
    seconds: float
    new: tuple[bool, ...] = ()


def archives_in(paths: Iterable[Path]) -> list[Path]:
    """The archives, and source folders, that these paths name: a folder stands for the archives below it.

    Raises:
        CallerError: a path does not exist, or is neither.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_file():
            if not path.name.endswith(SUFFIXES):
                raise CallerError(f"{path} is no archive: its name ends in none of {', '.join(SUFFIXES)}.")
            found.append(path)
        elif path.is_dir():
            inside = sorted(each for each in path.rglob("*") if each.name.endswith(SUFFIXES) and each.is_file())
            if not inside and not any((path / mark).is_file() for mark in _SOURCE_MARKS):
                raise CallerError(f"There is no archive below {path}, and it is no source folder either.")
            found += inside or [path]
        else:
            raise CallerError(f"There is no {path}.")
    return found


def screen_archive(screener: Screener, path: Path, *, scratch: Path) -> ArchiveResult:
    """Screen one archive, or one source folder as if it were an sdist.

    What cannot be read, or has no distribution's name, is INCOMPLETE with the reason: one bad file among many
    must not silence the others.

    Args:
        screener: who runs the job.
        path: the archive or folder.
        scratch: where a folder may be packed; the caller removes it.
    """
    began = time.monotonic()
    sha256 = ""
    try:
        archive = _packed(path, scratch) if path.is_dir() else path
        sha256 = _sha256(archive)
        job = _job(archive.name, sha256, archive.stat().st_size)
    except OSError as error:
        return _unread(path, sha256, f"it cannot be read: {error.strerror}")
    except CallerError as error:
        return _unread(path, sha256, error.message)
    report = screener.screen(job, archive)
    return ArchiveResult(
        file=str(path),
        sha256=sha256,
        outcome=report.outcome,
        tier=report.tier,
        score=max(each.score for each in report.screened),
        findings=tuple(finding for each in report.screened for finding in each.findings),
        not_examined=tuple(item for each in report.screened for item in each.not_examined),
        incomplete_reason=report.incomplete_reason,
        seconds=time.monotonic() - began,
    )


def _unread(path: Path, sha256: str, reason: str) -> ArchiveResult:
    return ArchiveResult(
        file=str(path),
        sha256=sha256,
        outcome=Outcome.INCOMPLETE,
        tier=Tier.NONE,
        score=0.0,
        findings=(),
        not_examined=(),
        incomplete_reason=reason,
        seconds=0.0,
    )


def compared(result: ArchiveResult, previous: Iterable[ArchiveResult]) -> ArchiveResult:
    """The result with each finding marked as new or as known from the release before.

    The tier stays: what the release before did as well is no better for it.
    """
    known = {_likeness(finding) for each in previous for finding in each.findings}
    new = tuple(_likeness(finding) not in known for finding in result.findings)
    values = {name: getattr(result, name) for name in ArchiveResult.__dataclass_fields__ if name != "new"}
    return ArchiveResult(**values, new=new)


def _likeness(finding: Finding) -> tuple[str, str, str]:
    """What a finding shares with itself in another version: the top folder and the line may differ."""
    member = finding.member or ""
    return finding.check, member.partition("/")[2] or member, finding.excerpt


def _job(filename: str, sha256: str, size: int) -> Job:
    distribution = parse_distribution_filename(filename)
    subject = Subject(
        source="files",
        kind=Kind.FILE,
        name=distribution.project,
        version=distribution.version,
        filename=filename,
        sha256=sha256,
    )
    summary = FileSummary(filename=filename, packagetype=distribution.kind, sha256=sha256, size=size)
    return Job(
        subject=subject,
        packagetype=distribution.kind,
        archive_format=distribution.archive_format,
        display_name=distribution.project,
        release_files=(summary,),
        project_releases=(distribution.version,),
        with_release=True,
        with_project=True,
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _packed(folder: Path, scratch: Path) -> Path:
    """The folder as an sdist. Links are packed as links: nothing outside the folder is read."""
    try:
        name = normalize_name(folder.resolve().name)
    except InvalidName:
        name = "folder"
    top = f"{name}-0"
    target = scratch / f"{top}.tar.gz"
    with tarfile.open(target, "w:gz", compresslevel=1) as archive:
        for path in _walk(folder):
            member = archive.gettarinfo(path, arcname=f"{top}/{path.relative_to(folder).as_posix()}")
            if member.isreg():
                with path.open("rb") as file:
                    archive.addfile(member, _exactly(file, member.size))
            elif member.issym():
                archive.addfile(member)
    return target


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if not {".git", ".venv", "__pycache__"} & set(path.relative_to(folder).parts[:-1]):
            yield path


def _exactly(file: IO[bytes], size: int) -> IO[bytes]:
    """The file's first `size` bytes: it may grow or shrink while it is read."""
    return io.BytesIO(file.read(size).ljust(size, b"\0"))
