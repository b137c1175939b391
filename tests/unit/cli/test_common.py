"""What a stranger wrote cannot steer the terminal, in the log as in an error."""

from __future__ import annotations

import click
import pytest
import structlog
from click.testing import CliRunner

from gatehouse.cli.common import MISUSE, GatehouseGroup, set_up_logging
from gatehouse.core.errors import CallerError

HOSTILE = "there\x1b]0;owned\x07\x1b[2J\r\u202egnp"


def test_the_log_shows_what_would_steer_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    before = structlog.get_config()
    set_up_logging("INFO")
    try:
        structlog.get_logger("test").error("incident", name=HOSTILE, exc_info=ValueError(HOSTILE))
    finally:
        structlog.configure(**before)
    (line, end) = capsys.readouterr().err.split("\n")
    assert end == ""
    assert line.isprintable()
    assert line.count(r"\x1b[2J") == 2
    assert "ValueError" in line


def test_an_error_is_one_line_that_steers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise CallerError(HOSTILE)

    group = GatehouseGroup(commands_in="nowhere", names=["fail"])
    monkeypatch.setattr(group, "get_command", lambda _ctx, _name: click.Command("fail", callback=fail))
    result = CliRunner().invoke(group, ["fail"])
    assert result.exit_code == MISUSE
    assert result.output.rstrip("\n").isprintable()
    assert r"\x1b]0;owned\x07" in result.output
