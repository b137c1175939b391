"""What a new file is compared with: the releases before it that stood, and the files beside it.

The difference is evidence only if an attacker cannot choose what it is taken from. So a file is no baseline by
having been uploaded: it must be published, have nothing against it (its newest screening ended below the queue),
and have stood for `STOOD` when the new one came; or a person let it through. Whoever has stolen an account and
brings a harmless-looking release first, and the harmful one an hour later, finds both compared with what stood
before; one that waits between the two has had its first step on the desk, and from there only a person lets it
stand. A file of an older release that came later counts by its own age.

Compared is with the nearest release below the new version, so that a branch is compared with itself, together
with the newest, so that what is brought from one branch to another is not new; where nothing is below, with the
newest alone. More in a baseline only explains more: merging hides what was there for longer, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from packaging.version import Version

from gatehouse.catalog.model import LOCAL_SOURCE, File, FileState
from gatehouse.gate.ports import Cleared, Transaction
from gatehouse.malware.difference import PastRelease, ProjectHistory, ReleaseSummary, merged
from gatehouse.malware.model import Kind, Subject

#: Of what is reported to PyPI, nine in ten is taken out within a day; nobody has yet looked at what is younger.
STOOD = timedelta(days=3)
#: Releases that are looked at, nearest first, until one has stood; and files of each, those most alike first.
_RELEASES = 12
_FILES = 6
_HISTORY = 2000


@dataclass(frozen=True, kw_only=True, slots=True)
class Baseline:
    """What a file is compared with; `previous` and `beside` are None where there is nothing."""

    previous: ReleaseSummary | None
    beside: ReleaseSummary | None
    history: ProjectHistory


def baseline_of(transaction: Transaction, file: File, files: Sequence[File]) -> Baseline:
    """What a file is compared with.

    Args:
        transaction: to read summaries in.
        file: the new file.
        files: all files of its project, the new one among them.
    """
    here = [other for other in files if other.external_url is None and other.id != file.id]
    earlier = [other for other in here if other.uploaded_at <= file.uploaded_at]
    releases: dict[str, list[File]] = {}
    for other in earlier:
        if other.state is FileState.PUBLISHED and other.version != file.version:
            releases.setdefault(other.version, []).append(other)
    beside = transaction.summaries.of(
        [file_subject(each) for each in _most_alike(file, [other for other in here if _is_beside(other, file)])]
    )
    return Baseline(
        previous=_previous(transaction, file, releases),
        beside=merged(beside) if beside else None,
        history=_history([*earlier, file]),
    )


def file_subject(file: File) -> Subject:
    """A file of this index as a subject."""
    return Subject(
        source=LOCAL_SOURCE,
        kind=Kind.FILE,
        name=file.project,
        version=file.version,
        filename=file.filename,
        sha256=file.sha256,
    )


def _is_beside(other: File, file: File) -> bool:
    return other.version == file.version and other.state not in {FileState.DELETED, FileState.REMOVED}


def _previous(transaction: Transaction, file: File, releases: dict[str, list[File]]) -> ReleaseSummary | None:
    below = sorted(
        (version for version in releases if Version(version) < Version(file.version)), key=Version, reverse=True
    )
    newest = sorted(releases, key=lambda version: _first(releases[version]), reverse=True)
    looked_at = list(dict.fromkeys([*below[:_RELEASES], *newest[:_RELEASES]]))
    asked = [each for version in looked_at for each in _most_alike(file, releases[version])]
    standing: dict[str, list[Subject]] = {}
    ages = {each.sha256: file.uploaded_at - each.uploaded_at for each in asked}
    for cleared in transaction.summaries.cleared([file_subject(each) for each in asked]):
        if _stood(cleared, ages):
            standing.setdefault(cleared.subject.version or "", []).append(cleared.subject)
    nearest = next((version for version in below[:_RELEASES] if version in standing), None)
    latest = next((version for version in newest[:_RELEASES] if version in standing), None)
    chosen = dict.fromkeys(version for version in (nearest, latest) if version is not None)
    summaries = [summary for version in chosen for summary in transaction.summaries.of(standing[version])]
    return merged(summaries) if summaries else None


def _stood(cleared: Cleared, ages: dict[str, timedelta]) -> bool:
    return cleared.judged or ages[cleared.subject.sha256 or ""] >= STOOD


def _most_alike(file: File, others: Sequence[File]) -> list[File]:
    """A few of some files of a release: those of the same kind and tags first, then the oldest."""
    tags = set(file.filename.split("-")[2:])

    def unlike(other: File) -> tuple[bool, int, int]:
        return (other.packagetype != file.packagetype, -len(tags & set(other.filename.split("-")[2:])), other.id)

    chosen = sorted(others, key=unlike)
    # One of each kind at least: what an sdist holds explains what a wheel does, and the other way round.
    other_kind = [other for other in chosen if other.packagetype != file.packagetype][:1]
    return list(dict.fromkeys([*chosen[: _FILES - len(other_kind)], *other_kind]))


def _history(files: Sequence[File]) -> ProjectHistory:
    first: dict[str, File] = {}
    for file in sorted(files, key=lambda each: (each.uploaded_at, each.id)):
        first.setdefault(file.version, file)
    return ProjectHistory(
        releases=tuple(
            PastRelease(
                version=each.version, uploaded=each.uploaded_at.isoformat(), uploader=each.uploader or None
            )
            for each in list(first.values())[-_HISTORY:]
        )
    )


def _first(files: Sequence[File]) -> datetime:
    return min(file.uploaded_at for file in files)
