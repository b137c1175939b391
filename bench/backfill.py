"""How much of the machine a backfill uses: `python -m bench.backfill FOLDER [--copies N] [--jobs N]`.

Puts the archives of a folder into an embedded house of its own (each `--copies` times, under other versions of one
content, so that the run is long enough to measure), then runs one check over all of it as `gatehouse checks
backfill` does. Prints files a second, and in percent: how many children were at work for each core, on average;
the processor time of this process and its children over wall clock and cores; how much of all cores was idle.
Where others work on the same machine, the second is less than it would be alone; the others say what is wasted.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gatehouse.catalog.distribution import parse_distribution_filename
from gatehouse.catalog.model import NewFile
from gatehouse.cli.checks.working import SPARE_WORKERS
from gatehouse.core.errors import GatehouseError
from gatehouse.gate.ports import NewRun, Run, RunKind, Screener
from gatehouse.initialise import initialise
from gatehouse.malware.job import Job, Report
from gatehouse.settings import Settings
from gatehouse.tuf.bins import BinLayout
from gatehouse.wiring import Gatehouse, build, build_backfill, build_screener

_SUFFIXES = (".whl", ".tar.gz", ".zip")
_STAT_IDLE = slice(4, 6)  # user nice system IDLE IOWAIT …


def main() -> None:
    """Fill a house, run, print."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="gatehouse-bench-", dir="/var/tmp") as folder:
        settings = Settings(home=Path(folder) / "home", screening_slots=arguments.jobs, backfill_slots=0)
        initialise(settings, BinLayout(simple_bits=1, files_bits=1))
        gatehouse = build(settings)
        try:
            files, size = _fill(gatehouse, arguments.folder, arguments.copies)
            gatehouse.lifecycle.sync()
            _measure(gatehouse, arguments.check, files, size)
        finally:
            gatehouse.close()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--copies", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--check", default="decode-and-execute")
    return parser.parse_args()


def _fill(gatehouse: Gatehouse, folder: Path, copies: int) -> tuple[int, int]:
    """Put each archive into the catalog so many times, as if it were of other versions; files and bytes."""
    count = size = 0
    for path in sorted(folder.iterdir()):
        if not path.name.endswith(_SUFFIXES):
            continue
        try:
            name = parse_distribution_filename(path.name)
        except GatehouseError as error:
            print(f"left out: {path.name}: {error.message}", file=sys.stderr)
            continue
        data = path.read_bytes()
        sha256 = gatehouse.blobs.put(data)
        now = gatehouse.clock.now()
        with gatehouse.database.write() as transaction:
            project = transaction.catalog.find_project(name.project) or transaction.catalog.add_project(
                name=name.project, display_name=name.project, at=now
            )
            for copy in range(copies):
                release = transaction.catalog.add_release(project.id, f"{copy + 1}.{count}", at=now)
                transaction.catalog.add_file(
                    NewFile(
                        project_id=project.id,
                        release_id=release.id,
                        filename=path.name if not copy else path.name.replace("-", f"-{copy}.", 1),
                        identity=f"{path.name} {copy}",
                        packagetype=name.kind,
                        python_tag=name.python_tag,
                        sha256=sha256,
                        md5="0" * 32,
                        blake2_256="0" * 64,
                        size=len(data),
                        requires_python=None,
                        metadata_sha256=None,
                        core_metadata={},
                        uploader="bench",
                        received_at=now,
                    ),
                    at=now,
                )
                count += 1
                size += len(data)
    return count, size


def _measure(gatehouse: Gatehouse, check: str, files: int, size: int) -> None:
    found = gatehouse.lifecycle.registry().get(check)
    run = gatehouse.runs.begin(
        NewRun(
            kind=RunKind.BACKFILL,
            check=check,
            version=found.version,
            subjects=found.kind,
            actor="bench",
            reason="bench",
        )
    )
    cores = os.cpu_count() or 1
    # The zygote's start is not the run's; its children are counted when it has ended.
    with build_screener(gatehouse.settings) as screener:
        screener.start()
        before, idle, began = _used(), _idle(), time.monotonic()
        watched = _Watched(screener)
        backfill = build_backfill(gatehouse, watched)

        def pull() -> None:
            while backfill.work_once(run.id) is not None:
                pass

        workers = gatehouse.settings.screening_slots + SPARE_WORKERS
        with ThreadPoolExecutor(workers) as pool:
            for worker in [pool.submit(pull) for _ in range(workers)]:
                worker.result()
        wall, unused = time.monotonic() - began, _idle() - idle
    used = _used() - before
    done = gatehouse.runs.get(run.id)
    _print(done, files, size, wall)
    print(f"children at work   {100 * watched.seconds / (wall * cores):5.1f} % of one for each core")
    print(
        f"used by the run    {100 * used / (wall * cores):5.1f} % of {cores} cores ({used:.1f} s in {wall:.1f} s)"
    )
    print(f"used by nobody     {100 * unused / (wall * cores):5.1f} %")


class _Watched:
    """A screener that counts how long its jobs take, together."""

    def __init__(self, screener: Screener) -> None:
        self._screener = screener
        self._lock = threading.Lock()
        self.seconds = 0.0

    def screen(self, job: Job, archive: Path) -> Report:
        """Run a job."""
        began = time.monotonic()
        try:
            return self._screener.screen(job, archive)
        finally:
            with self._lock:
                self.seconds += time.monotonic() - began


def _print(run: Run, files: int, size: int, wall: float) -> None:
    counts = run.counts
    print(f"{run.new.check} over {files} files of {size / 1e6:.0f} MB: {run.state.value}, {counts.done} done")
    print(f"clean {counts.clean}, flagged {counts.flagged}, incomplete {counts.incomplete}")
    print(f"{files / wall:.1f} files a second, {size / 1e6 / wall:.1f} MB a second")


def _used() -> float:
    """Seconds of processor time of this process and of those children that have ended."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def _idle() -> float:
    """Seconds that the machine's cores had nothing to do, together."""
    fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()
    return sum(map(int, fields[_STAT_IDLE])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
