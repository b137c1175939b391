"""What screening costs: processor time, where it goes, memory; archive by archive, beside peers in one session.

Each archive is screened by the service that a child of the sandbox runs, in a fresh fork of a process that has it
loaded, as the zygote does it. CPU is that fork's own (user and system), memory its peak resident size. *MB* are
millions of bytes of the archive as it is uploaded, compressed. Phases: `unpack` reads the archive, `parse` makes
syntax trees, `facts` is the rest of the facts, `checks` what the checks do beside, `other` verdicts and the wire.

    .venv/bin/python -m bench.screening FOLDER [--sample 60] [--with guarddog] [--with hexora] [--json]
    .venv/bin/python -m bench.screening --large          a generated wheel of 100 MB with 50,000 files
    .venv/bin/python -m bench.screening --install-peers  GuardDog and hexora, each in an environment of its own

`--sample` takes the archives of the folder whose names have the smallest SHA-256. A peer reads the same archives,
one after another, each by its own command; its CPU is that of the command and its children. A command's start-up
is part of it and is also shown alone, since a service would not pay it each time.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from bench import generated_wheel, screening_peers

from gatehouse.catalog.distribution import parse_distribution_filename
from gatehouse.core.digests import sha256_hex
from gatehouse.malware import service
from gatehouse.malware.facts import modules, parsing
from gatehouse.malware.job import Job
from gatehouse.malware.model import Kind, Subject
from gatehouse.malware.registry import Registry
from gatehouse.malware.warming import warm_up
from gatehouse.malware.wire import report_from_bytes, report_to_bytes

PHASES = ("unpack", "parse", "facts", "checks", "other")
_Result = TypeVar("_Result")


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What one archive cost: bytes, seconds of CPU, by phase, peak memory in MB, and what came out."""

    name: str
    size: int
    cpu: float
    memory: float
    outcome: str
    tier: str
    phases: dict[str, float] = field(default_factory=dict)


class Phases:
    """Processor time by phase, taken at the seams of the service, each without what it calls of the others."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self._running: list[str] = []
        self._since = time.process_time()

    def _switch(self) -> None:
        now = time.process_time()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now

    def timed(self, phase: str, function: Callable[..., _Result]) -> Callable[..., _Result]:
        """The function, with its time counted."""

        def wrapped(*args: Any, **kwargs: Any) -> _Result:  # noqa: ANN401 -- whatever the function takes
            self._switch()
            self._running.append(phase)
            try:
                return function(*args, **kwargs)
            finally:
                self._switch()
                self._running.pop()

        return wrapped

    def attach(self) -> None:
        """Count from here on, in this process."""
        for module, name, phase in (
            (service, "unpack", "unpack"),
            (parsing, "_attempt", "parse"),
            (modules.Library, "read", "facts"),
            (modules.Library, "settled", "facts"),
            (service, "_findings", "checks"),
        ):
            setattr(module, name, self.timed(phase, getattr(module, name)))


def main() -> None:
    """Run what the command line asks for."""
    arguments = _arguments()
    if arguments.install_peers:
        for peer in screening_peers.PEERS:
            print(f"{peer}: {screening_peers.install(peer)}")
        return
    if arguments.large:
        with tempfile.TemporaryDirectory(prefix="gatehouse-bench-") as folder:
            archives = [generated_wheel.write(Path(folder))]
            _report(archives, arguments)
        return
    archives = sorted(path for path in arguments.folder.iterdir() if path.name.endswith((".whl", ".tar.gz")))
    if arguments.sample is not None:
        archives = sorted(sorted(archives, key=lambda path: sha256_hex(path.name.encode()))[: arguments.sample])
    _report(archives, arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.screening")
    parser.add_argument("folder", type=Path, nargs="?", help="with wheels and sdists in it")
    parser.add_argument("--sample", type=int, help="only so many archives of the folder")
    parser.add_argument("--with", dest="peers", action="append", default=[], choices=screening_peers.PEERS)
    parser.add_argument("--install-peers", action="store_true")
    parser.add_argument("--large", action="store_true", help="one generated wheel instead of a folder")
    parser.add_argument("--json", action="store_true", help="a JSON document instead of tables")
    arguments = parser.parse_args()
    if not (arguments.folder or arguments.large or arguments.install_peers):
        parser.error("a folder, --large or --install-peers")
    return arguments


def _report(archives: Sequence[Path], arguments: argparse.Namespace) -> None:
    registry = Registry.load()
    warm_up(registry)
    gc.collect()
    gc.freeze()
    ours = [in_a_fork(partial(screened, path, registry)) for path in archives]
    peers = {peer: screening_peers.measure(peer, archives) for peer in arguments.peers}
    if arguments.json:
        print(json.dumps({"ours": [asdict(cost) for cost in ours], "peers": peers, "summary": summary(ours)}))
        return
    _print_ours(ours)
    for peer, seconds in peers.items():
        _print_peer(peer, seconds, ours)


def screened(path: Path, registry: Registry) -> dict[str, Any]:
    """Screen an archive in this process and say what it cost."""
    gc.disable()  # as a child does
    content = path.read_bytes()
    job, size = _job(path, content), len(content)
    del content  # a child is handed a file, and its memory is what is measured
    phases = Phases()
    phases.attach()
    began = _cpu()
    run = phases.timed("other", lambda: report_to_bytes(_run(job, path, registry)))
    answer = run()
    cpu = _cpu() - began
    report = report_from_bytes(answer, job=job)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return asdict(
        Cost(
            name=path.name,
            size=size,
            cpu=cpu,
            memory=memory,
            outcome=report.outcome.value,
            tier=report.tier.word,
            phases=phases.seconds,
        )
    )


def _run(job: Job, path: Path, registry: Registry) -> Any:  # noqa: ANN401 -- handed straight to the wire
    with path.open("rb") as stream:
        return service.run(job, stream, registry)


def _job(path: Path, content: bytes) -> Job:
    parsed = parse_distribution_filename(path.name)
    wheel = path.name.endswith(".whl")
    return Job(
        subject=Subject(
            source="bench",
            kind=Kind.FILE,
            name=parsed.project,
            version=str(parsed.version),
            filename=path.name,
            sha256=sha256_hex(content),
        ),
        packagetype="bdist_wheel" if wheel else "sdist",
        archive_format="zip" if wheel else "tar.gz",
        core_metadata={"name": parsed.project, "version": str(parsed.version)},
        display_name=parsed.project,
    )


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def in_a_fork(work: Callable[[], dict[str, Any]]) -> Cost:
    """Do a piece of work in a child, so that its memory and its patches are its own."""
    readable, writable = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if not child:
        status = 1
        try:
            os.close(readable)
            with os.fdopen(writable, "wb") as stream:
                stream.write(json.dumps(work()).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writable)
    with os.fdopen(readable, "rb") as stream:
        answer = stream.read()
    _, status = os.waitpid(child, 0)
    assert status == 0, "the child that screened ended badly; its traceback is above"
    return Cost(**json.loads(answer))


def summary(costs: Sequence[Cost]) -> dict[str, float]:
    """The figures that are promised: CPU in milliseconds, throughput in MB a CPU-second, memory in MB."""
    cpu = sorted(cost.cpu * 1000 for cost in costs)
    total = sum(cpu) / 1000
    size = sum(cost.size for cost in costs) / 1e6
    return {
        "archives": len(costs),
        "megabytes": size,
        "cpu_seconds": total,
        "median_ms": statistics.median(cpu),
        "p95_ms": statistics.quantiles(cpu, n=20, method="inclusive")[18] if len(cpu) > 1 else cpu[0],
        "max_ms": cpu[-1],
        "mb_per_second": size / total,
        "peak_memory_mb": max(cost.memory for cost in costs),
    }


def _print_ours(costs: Sequence[Cost]) -> None:
    figures = summary(costs)
    print(f"{figures['archives']} archives, {figures['megabytes']:.1f} MB, {figures['cpu_seconds']:.2f} s of CPU")
    print(
        f"an archive: median {figures['median_ms']:.0f} ms   p95 {figures['p95_ms']:.0f} ms   "
        f"max {figures['max_ms']:.0f} ms"
    )
    print(
        f"throughput: {figures['mb_per_second']:.2f} MB a CPU-second   "
        f"peak memory {figures['peak_memory_mb']:.0f} MB"
    )
    for phase in PHASES:
        seconds = sum(cost.phases[phase] for cost in costs)
        print(f"  {phase:<8} {seconds:7.2f} s  {100 * seconds / figures['cpu_seconds']:5.1f} %")
    print("the dearest:")
    for cost in sorted(costs, key=lambda cost: -cost.cpu)[:8]:
        print(f"  {cost.cpu * 1000:7.0f} ms {cost.memory:5.0f} MB  {cost.tier:<6} {cost.name}")
    tiers = {cost.tier for cost in costs}
    print("tiers:", ", ".join(f"{tier} {sum(cost.tier == tier for cost in costs)}" for tier in sorted(tiers)))


def _print_peer(peer: str, measured: dict[str, Any], ours: Sequence[Cost]) -> None:
    cpu = sorted(seconds * 1000 for seconds in measured["cpu"].values())
    total = sum(cpu) / 1000
    own = summary(ours)
    print(
        f"{peer} {measured['version']}: median {statistics.median(cpu):.0f} ms   max {cpu[-1]:.0f} ms", end="   "
    )
    print(
        f"{own['megabytes'] / total:.2f} MB a CPU-second   start-up alone {measured['start'] * 1000:.0f} ms",
        end="   ",
    )
    print(f"refused or failed on {measured['failed']}")
    print(
        f"  it takes {total / own['cpu_seconds']:.1f} times our CPU in all,"
        f" {statistics.median(cpu) / own['median_ms']:.1f} times in the median"
    )


if __name__ == "__main__":
    main()
