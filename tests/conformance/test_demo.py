"""`gatehouse demo` plays the whole story, and its exit code can be believed."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from click.testing import CliRunner

from gatehouse.cli import main
from gatehouse.cli.demo import story


def test_every_step_is_verified_and_it_exits_0() -> None:
    environment = os.environ | {"GATEHOUSE_PORT": "1"}  # a setting of its user's is not the demo's
    played = subprocess.run(
        [sys.executable, "-m", "gatehouse", "demo"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=180,
    )
    assert played.returncode == 0, played.stdout + played.stderr
    *steps, last = played.stdout.splitlines()
    assert last == "Every step was verified."
    numbers = [int(found[1]) for line in steps if (found := re.match(r"(\d+)\. ", line))]
    assert numbers == list(range(1, len(numbers) + 1))
    assert sum(line.startswith("   ok: ") for line in steps) == len(numbers) >= 8
    for words in ("python-tuf", "pip", "see it held", "Let it through", "Remove it again", "SIGKILL"):
        assert words in played.stdout


def test_a_step_that_does_not_come_out_ends_it_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    def install_nothing(*_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(args=[], returncode=1, stdout="", stderr="no such project")

    monkeypatch.setattr(story, "pip_install", install_nothing)
    played = CliRunner().invoke(main, ["demo"])
    assert played.exit_code == 1
    assert "FAILED: step 4: expected that pip installs it; it said:  no such project" in played.stderr
    assert "Every step was verified." not in played.stdout
