"""The publisher as in production, in a process of its own: `publishing` starts it, and `main` is that process.

Each line on its standard input rings its bell; it ends when standard input does. With `--standby` it waits until
the lease of another has ended, as a second server would.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gatehouse.cli.common import settings_from_environment
from gatehouse.wiring import build, build_publisher
from gatehouse.worker.publisher import PublisherLoop

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True, slots=True)
class Publishing:
    """The process that publishes, from outside."""

    process: subprocess.Popen[str]

    def ring(self) -> None:
        """Say that there is something new."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """End it in the middle of whatever it does (SIGKILL)."""
        self.process.kill()
        self.process.wait()

    def cpu(self) -> float:
        """Seconds of CPU until now."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def peak(self) -> float:
        """The most memory until now, in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+)", status)
        assert found is not None
        return int(found[1]) / 1024


@contextmanager
def publishing(environment: Mapping[str, str], *options: str) -> Iterator[Publishing]:
    """Start one; it ends with the block.

    Args:
        environment: its whole environment, the settings among it.
        options: of `main`.
    """
    command = [sys.executable, "-m", "bench.publisher_process", *options]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield Publishing(process=process)
        finally:
            process.stdin.close()


def main() -> None:
    """Publish until standard input ends."""
    settings = settings_from_environment()
    gatehouse = build(settings)
    loop = PublisherLoop(
        publisher=build_publisher(gatehouse),
        clock=gatehouse.clock,
        delay=settings.publish_delay,
        bell=gatehouse.publisher_bell,
        steal="--standby" not in sys.argv,
    )
    loop.start()
    print("ready", flush=True)
    for _ in sys.stdin:
        gatehouse.publisher_bell()
    loop.stop()
    gatehouse.close()


if __name__ == "__main__":
    main()
