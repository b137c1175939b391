"""GuardDog and hexora beside the bench: installed each in its own environment, run as their users run them.

They are fetched from whatever registry pip is configured for; no address stands here. Each is given a copy of the
archive in a folder of its own: hexora follows no links, and knows a wheel only by the suffix of a zip.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

#: Requirement, and the command that reads one archive.
PEERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "guarddog": ("guarddog==3.2.*", ("pypi", "scan")),
    "hexora": ("hexora==0.3.2", ("audit", "--output-format", "json")),
}
_TIMEOUT = 600


def folder() -> Path:
    """Where the peers' environments are kept, beside other caches of the user."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "gatehouse-bench"


def install(peer: str) -> Path:
    """An environment with a peer in it; made anew.

    Returns:
        The peer's command.
    """
    requirement, _ = PEERS[peer]
    place = folder() / peer
    shutil.rmtree(place, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
    subprocess.run([str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", requirement], check=True)
    return place / "bin" / peer


def measure(peer: str, archives: Sequence[Path]) -> dict[str, Any]:
    """CPU seconds of a peer for each archive, of its start-up alone, its version, and how often it failed."""
    command = folder() / peer / "bin" / peer
    assert command.exists(), f"{peer} is not installed: run with --install-peers first"
    with tempfile.TemporaryDirectory(prefix="gatehouse-bench-") as scratch:
        start, _ = _cpu_of([str(command), "--help"], scratch)
        cpu: dict[str, float] = {}
        failed = 0
        for archive in archives:
            suffix = ".zip" if peer == "hexora" and archive.suffix == ".whl" else ""
            path = Path(shutil.copyfile(archive, Path(scratch) / f"{archive.name}{suffix}"))
            cpu[archive.name], fine = _cpu_of([str(command), *PEERS[peer][1], str(path)], scratch)
            failed += not fine
            path.unlink()
    return {"version": _version(peer), "start": start, "cpu": cpu, "failed": failed}


def _cpu_of(command: list[str], folder: str) -> tuple[float, bool]:
    before = _children()
    done = subprocess.run(command, check=False, capture_output=True, cwd=folder, timeout=_TIMEOUT)
    return _children() - before, done.returncode in {0, 1}


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _version(peer: str) -> str:
    python = str(folder() / peer / "bin" / "python")
    program = f"import importlib.metadata as m; print(m.version({peer!r}))"
    return subprocess.run([python, "-c", program], check=True, capture_output=True, text=True).stdout.strip()
