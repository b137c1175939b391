"""`gatehouse tuf status` says what must be renewed, the most pressing first."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from gatehouse.cli import main
from gatehouse.core.clock import SystemClock

_LEVELS = ("CRITICAL", "WARNING", "NOTICE")


class Later(SystemClock):
    """The system's clock, so much later."""

    ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead


@pytest.mark.parametrize(
    ("ahead", "timestamp", "root"),
    [
        (timedelta(), "", ""),
        (timedelta(hours=22), "NOTICE", ""),
        (timedelta(hours=23, minutes=0), "WARNING", ""),
        (timedelta(hours=23, minutes=40), "CRITICAL", ""),
        (timedelta(days=3650), "CRITICAL", "CRITICAL"),
    ],
)
def test_what_must_be_renewed_is_said_in_three_levels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: timedelta, timestamp: str, root: str
) -> None:
    runner, env = CliRunner(), {"GATEHOUSE_HOME": str(tmp_path / "home")}
    made = runner.invoke(main, ["init", "--simple-bins", "2", "--files-bins", "4"], env=env)
    assert made.exit_code == 0, made.output
    monkeypatch.setattr(Later, "ahead", ahead)
    monkeypatch.setattr("gatehouse.wiring.SystemClock", Later)
    said = runner.invoke(main, ["tuf", "status"], env=env).output
    lines = [line.split(maxsplit=1) for line in said.splitlines() if line.startswith(_LEVELS)]
    levels = {role: next((line[0] for line in lines if role in line[1]), "") for role in ("timestamp", "root")}
    assert levels == {"timestamp": timestamp, "root": root}
    assert [line[0] for line in lines] == sorted((line[0] for line in lines), key=_LEVELS.index)
