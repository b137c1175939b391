"""Screening archives on a disk, without an index: what `gatehouse screen` does."""

from __future__ import annotations

import hashlib
import io
import tarfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import IO

from gatehouse.catalog.distribution import parse_distribution_filename
from gatehouse.core.errors import CallerError
from gatehouse.core.names import InvalidName, normalize_name
from gatehouse.gate.ports import Screener
from gatehouse.malware.difference import ReleaseSummary, difference, merged
from gatehouse.malware.export.model import Exported, likeness
from gatehouse.malware.export.osv import Malicious
from gatehouse.malware.job import Job
from gatehouse.malware.lifecycle import Plan, limited
from gatehouse.malware.model import Classification, Kind, Outcome, Subject, Tier
from gatehouse.malware.views import FileSummary

SUFFIXES = (".whl", ".tar.gz", ".zip")
_SOURCE_MARKS = ("pyproject.toml", "setup.py", "setup.cfg", "PKG-INFO")


class Before:
    """The release before, as its archives were screened: what is compared with it."""

    def __init__(self, results: Iterable[Exported]) -> None:
        """Take the results of all its archives, with their summaries."""
        known = set()
        summaries: dict[str, list[ReleaseSummary]] = {}
        for result in results:
            known |= {likeness(finding) for finding in result.findings}
            if result.subject is not None and result.summary is not None:
                summaries.setdefault(result.subject.name, []).append(result.summary)
        self._known = frozenset(known)
        self._summaries = {name: merged(of_project) for name, of_project in summaries.items()}

    def summary_for(self, name: str) -> ReleaseSummary | None:
        """What is known of the project of that name; a single project is taken for it, whatever its name."""
        if len(self._summaries) == 1:
            return next(iter(self._summaries.values()))
        return self._summaries.get(name)

    def marked(self, result: Exported) -> Exported:
        """The result with each finding marked as new or as known from the release before.

        The tier stays: what the release before did as well is no better for it.
        """
        return replace(result, new=tuple(likeness(finding) not in self._known for finding in result.findings))


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
            inside = sorted(each for each in path.rglob("*") if each.name.endswith(SUFFIXES) and not each.is_dir())
            if not inside and not any((path / mark).is_file() for mark in _SOURCE_MARKS):
                raise CallerError(f"There is no archive below {path}, and it is no source folder either.")
            found += inside or [path]
        else:
            raise CallerError(f"There is no {path}.")
    return found


def screen_archive(
    screener: Screener,
    path: Path,
    *,
    plan: Plan,
    scratch: Path,
    before: Before | None = None,
    with_summary: bool = False,
) -> Exported:
    """Screen one archive, or one source folder as if it were an sdist.

    What cannot be read, or has no distribution's name, is INCOMPLETE with the reason: one bad file among many
    must not silence the others.

    Args:
        screener: who runs the job.
        path: the archive or folder.
        plan: how far each check may go.
        scratch: where a folder may be packed; the caller removes it.
        before: the release before, to compare with.
        with_summary: whether to keep what the release after this one is compared with.
    """
    began = time.monotonic()
    sha256 = ""
    if path.exists() and not path.is_dir() and not path.is_file():  # a pipe would be waited for
        return _unread(path, sha256, "it is no ordinary file")
    try:
        archive = _packed(path, scratch) if path.is_dir() else path
        sha256 = _sha256(archive)
        job = job_of(archive.name, sha256, archive.stat().st_size)
        previous = None if before is None else before.summary_for(job.subject.name)
        job = replace(job, previous=previous, with_summary=with_summary or before is not None)
    except OSError as error:
        return _unread(path, sha256, f"it cannot be read: {error.strerror}")
    except CallerError as error:
        return _unread(path, sha256, error.message)
    report = screener.screen(job, archive)
    report = replace(report, screened=tuple(limited(each, plan) for each in report.screened))
    new = None if previous is None or report.summary is None else difference(previous, report.summary)
    result = Exported(
        file=str(path),
        subject=job.subject,
        sha256=sha256,
        outcome=report.outcome,
        tier=report.tier,
        score=max(each.score for each in report.screened),
        contributions=max(report.screened, key=lambda each: each.score).contributions,
        findings=tuple(finding for each in report.screened for finding in each.findings),
        verdicts=tuple(verdict for each in report.screened for verdict in each.verdicts),
        not_examined=tuple(item for each in report.screened for item in each.not_examined),
        incomplete_reason=report.incomplete_reason,
        seconds=time.monotonic() - began,
        fingerprint=report.fingerprint,
        summary=report.summary if with_summary else None,
        difference=new,
    )
    return result if before is None else before.marked(result)


def _unread(path: Path, sha256: str, reason: str) -> Exported:
    return Exported(
        file=str(path),
        subject=None,
        sha256=sha256,
        outcome=Outcome.INCOMPLETE,
        tier=Tier.NONE,
        score=0.0,
        findings=(),
        verdicts=(),
        not_examined=(),
        incomplete_reason=reason,
        seconds=0.0,
    )


def malicious(result: Exported, now: datetime) -> Malicious | None:
    """What a record of malicious packages says of a result; None if no check would hold it as malicious."""
    verdicts = [
        verdict
        for verdict in result.verdicts
        if verdict.tier >= Tier.HOLD and verdict.classification is Classification.MALICIOUS
    ]
    if result.subject is None or not verdicts:
        return None
    reason = f"{verdicts[0].check}: {verdicts[0].message}"
    return Malicious(
        subject=result.subject, since=now, changed=now, reviewed=False, reason=reason, findings=result.findings
    )


def job_of(filename: str, sha256: str, size: int) -> Job:
    """The job of an archive that belongs to no index: its file, its release and its project, with all checks.

    Raises:
        InvalidUpload: the filename is no distribution's.
    """
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
