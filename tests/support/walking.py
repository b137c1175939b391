"""Walks through a document as a reader would: its commands in one shell, and what they print against the page."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.documents import Step, is_printed, read_steps

BIN = Path(sys.executable).parent
#: Where a page without a server has its reader's requests go: nowhere.
NOWHERE = "server.invalid"
_MARK = "--- step ended ---"
#: What a developer's shell may hold and would bend the walk, by the first part of its name.
_BENDING = {"GATEHOUSE", "PIP", "TWINE", "UV", "PYTHONPATH", "PYTHONWARNINGS", "HATCH"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Reader:
    """Who reads: `folder` is where they stand, `address` is what replaces the page's server."""

    folder: Path
    environment: Mapping[str, str]
    address: str = NOWHERE


def environment(folder: Path) -> dict[str, str]:
    """A reader's environment, with this folder as their home and our own commands in their path."""
    kept = {name: value for name, value in os.environ.items() if name.partition("_")[0] not in _BENDING}
    return kept | {
        "HOME": str(folder),
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "TMPDIR": str(folder),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        "COLUMNS": "200",
        "NO_COLOR": "1",
    }


def walk(page: Path, reader: Reader) -> list[tuple[Step, str]]:
    """Run a page's steps in one shell, until one fails; each with what it printed."""
    steps = read_steps(page, reader.address)
    script = reader.folder / f"{page.stem}.sh"
    script.write_text("\n".join(f"{step.command}\necho; echo '{_MARK}'" for step in steps))
    done = run(reader, ["bash", "-e", script])
    outputs = done.stdout.split(_MARK)
    failed = steps[min(len(outputs), len(steps)) - 1].command
    assert done.returncode == 0, f"This failed:\n{failed}\n\nAll that was printed:\n{done.stdout}"
    return list(zip(steps, outputs, strict=False))


def check(walked: list[tuple[Step, str]], *, at_least: int) -> None:
    """Hold what the steps printed against what the page says."""
    assert len(walked) >= at_least, "the page has lost its commands"
    for step, output in walked:
        assert is_printed(step.prints, output), f"{step.command}\nprinted\n{output}\nthe page says {step.prints}"


def run(reader: Reader, command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
    """Run a command where the reader stands; both its streams as one."""
    return subprocess.run(
        command,
        cwd=reader.folder,
        env=reader.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=180,
        check=False,
    )
