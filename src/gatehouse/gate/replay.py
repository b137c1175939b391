"""The story of a replay: each archive of a split is read into memory, and screened in a child of the sandbox.

An archive is handed to its child as a memory file, which has no name on any disk and is gone with its descriptor.
It is read as what it is: a zip that its corpus names `.tar.gz` is read as a wheel, so that no check is credited
with the corpus's own naming, and one without a distribution's name gets one that says nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from gatehouse.core.digests import sha256_hex
from gatehouse.core.errors import CallerError
from gatehouse.gate.ports import Screener
from gatehouse.gate.screen_archives import job_of
from gatehouse.malware.evaluation.model import Result, Specimen, result_of
from gatehouse.malware.job import Job
from gatehouse.malware.lifecycle import Plan, limited

_ZIP = b"PK\x03\x04"
_NAMELESS = "unnamed-1.0"
#: Archives that are begun for each that runs: enough that none waits, few enough to hold their bytes.
_AHEAD = 2


class Archives(Protocol):
    """Where the bytes of labelled archives lie."""

    def read(self, specimen: Specimen) -> bytes:
        """The bytes of an archive. Any thread may call it.

        Raises:
            NotFound: it is not where it should be.
        """
        ...


def replay(
    archives: Archives, specimens: Sequence[Specimen], screener: Screener, *, plan: Plan, slots: int
) -> Iterator[Result]:
    """The results, in the order of the specimens.

    Args:
        archives: where their bytes are.
        specimens: what to screen.
        screener: who runs the jobs.
        plan: how far each check may go.
        slots: how many at once.

    Raises:
        NotFound: an archive is not where it should be.
    """
    with ThreadPoolExecutor(slots) as pool:

        def run(specimen: Specimen) -> Result:
            data = archives.read(specimen)
            with memory_file(data) as path:
                report = screener.screen(job_for_specimen(specimen, data), path)
            report = replace(report, screened=tuple(limited(each, plan) for each in report.screened))
            return result_of(specimen, report)

        begun: list[Future[Result]] = []
        try:
            for number in range(len(specimens)):
                while len(begun) < min(len(specimens), number + _AHEAD * slots):
                    begun.append(pool.submit(run, specimens[len(begun)]))
                yield begun[number].result()
        finally:
            for future in begun:
                future.cancel()


@contextmanager
def memory_file(data: bytes) -> Iterator[Path]:
    """A path that leads to these bytes while the block runs, and to no disk."""
    descriptor = os.memfd_create("archive", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        yield Path(f"/proc/self/fd/{descriptor}")


def job_for_specimen(specimen: Specimen, data: bytes) -> Job:
    """The job of a specimen, under a name that says what it is."""
    filename = read_as(specimen.name, data)
    try:
        return job_of(filename, sha256_hex(data), len(data))
    except CallerError:
        ends = ("-py3-none-any.whl", ".zip", ".tar.gz")
        end = next((end for end in ends if filename.endswith(end[-4:])), ends[-1])
        return job_of(f"{_NAMELESS}{end}", sha256_hex(data), len(data))


def read_as(name: str, data: bytes) -> str:
    """The filename that an archive is read under."""
    filename = name.rpartition("/")[2]
    stem = filename.removesuffix(".tar.gz")
    if stem == filename or not data.startswith(_ZIP):
        return filename
    return stem + (".whl" if stem.endswith("-any") else "-py3-none-any.whl")
