"""Sandboxes with misbehaving jobs, and a look at the processes that they leave."""

from __future__ import annotations

from pathlib import Path

from gatehouse.malware.job import Job
from gatehouse.malware.model import Kind, Screened, Subject
from gatehouse.sandbox.model import SandboxLimits
from gatehouse.sandbox.screener import ZygoteScreener

ROOT = Path(__file__).parents[2]
PATIENT = SandboxLimits(seconds=60, cpu_seconds=20)


def misbehaving(runner: str = "prepare", *, slots: int = 2, limits: SandboxLimits = PATIENT) -> ZygoteScreener:
    """A screener whose jobs do what their display name says (`misbehaving`)."""
    return ZygoteScreener(slots=slots, limits=limits, runner=f"tests.support.misbehaving:{runner}", folder=ROOT)


def job(what: str, *, with_release: bool = False, with_project: bool = False) -> Job:
    """A job over an sdist."""
    subject = Subject(
        source="local", kind=Kind.FILE, name="aloe", version="1.0", filename="aloe-1.0.tar.gz", sha256="0" * 64
    )
    return Job(
        subject=subject,
        packagetype="sdist",
        archive_format="tar.gz",
        display_name=what,
        with_release=with_release,
        with_project=with_project,
    )


def outcome(screener: ZygoteScreener, what: str, archive: Path) -> Screened:
    """The file's part of the report on one job."""
    return screener.screen(job(what), archive).screened[0]


def zygote_of(screener: ZygoteScreener) -> int:
    """The process id of a screener's zygote."""
    screener.start()
    assert screener._process is not None
    return screener._process.pid


def children_of(pid: int) -> list[int]:
    """The living children of a process."""
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and (fields := _stat(entry)) and fields[1] == str(pid) and fields[0] != "Z"
    ]


def runs(pid: int) -> bool:
    """Whether a process is there and not a zombie."""
    fields = _stat(Path("/proc") / str(pid))
    return bool(fields) and fields[0] != "Z"


def _stat(entry: Path) -> list[str]:
    """State, parent and the rest; empty if the process is gone."""
    try:
        text = (entry / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(")")[2].split()
