"""What `make check` runs: every check, also behind one that failed; a line for each, the output of the failed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

PYTHON = [sys.executable]
CHECKS: dict[str, list[str]] = {
    "lint": [*PYTHON, "-m", "ruff", "check", "--quiet", "."],
    "format": [*PYTHON, "-m", "ruff", "format", "--check", "--quiet", "."],
    "types": [*PYTHON, "-m", "mypy"],
    "imports": [str(Path(sys.executable).parent / "lint-imports"), "--config", ".importlinter"],
    "licences": [*PYTHON, "-m", "tools.licences"],
    "documents": [*PYTHON, "-m", "tools.docs", "--check"],
    "changelog": [*PYTHON, "-m", "towncrier", "build", "--draft", "--version", "next"],
}


def main() -> int:
    """Run the checks; 1 if any failed."""
    failed: list[str] = []
    for name, command in CHECKS.items():
        start = time.monotonic()
        done = subprocess.run(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        word = "ok" if done.returncode == 0 else "FAILED"
        print(f"check {name:<10} {word:<7} {time.monotonic() - start:5.1f} s", flush=True)
        if done.returncode:
            failed.append(name)
            print((done.stdout + done.stderr).strip(), flush=True)
    if failed:
        print(f"Failed: {', '.join(failed)}.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
