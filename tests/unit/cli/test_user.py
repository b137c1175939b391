"""`gatehouse user`: who may log in."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gatehouse.cli import main
from gatehouse.core.errors import NotAuthenticated
from gatehouse.initialise import initialise
from gatehouse.settings import Settings
from gatehouse.tuf.bins import BinLayout
from gatehouse.wiring import build
from tests.support.staff import PASSWORD, code_at


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "home"
    initialise(Settings(home=path), BinLayout(simple_bits=1, files_bits=1))
    return path


def run(home: Path, *words: str, typed: str = "") -> Result:
    return CliRunner().invoke(main, ["user", *words], input=typed, env={"GATEHOUSE_HOME": str(home)})


def secret_of(result: Result) -> str:
    assert result.exit_code == 0, result.output
    found = re.search(r"^Secret +([A-Z2-7]{32})$", result.output, re.MULTILINE)
    assert found is not None
    assert f"secret={found[1]}" in result.output, "the otpauth address stands there too"
    return found[1]


def logs_in(home: Path, name: str, password: str, secret: str) -> bool:
    gatehouse = build(Settings(home=home))
    try:
        gatehouse.staff.log_in(name, password, code_at(secret, gatehouse.clock.now()))
    except NotAuthenticated:
        return False
    finally:
        gatehouse.close()
    return True


def test_a_user_is_made_with_a_password_that_is_typed_twice(home: Path) -> None:
    result = run(home, "create", "alice", typed=f"{PASSWORD}\n{PASSWORD}\n")
    assert PASSWORD not in result.output
    assert logs_in(home, "alice", PASSWORD, secret_of(result))


def test_a_password_may_come_from_standard_input(home: Path) -> None:
    result = run(home, "create", "bob", "--password-stdin", typed=f"{PASSWORD}\r\nmore\n")
    assert logs_in(home, "bob", PASSWORD, secret_of(result))


def test_a_second_factor_is_reset_and_a_password_set(home: Path) -> None:
    old = secret_of(run(home, "create", "carol", "--password-stdin", typed=PASSWORD))
    new = secret_of(run(home, "reset-mfa", "carol"))
    assert old != new
    assert run(home, "set-password", "carol", "--password-stdin", typed="another battery staple").exit_code == 0
    assert not logs_in(home, "carol", PASSWORD, new)
    assert logs_in(home, "carol", "another battery staple", new)


def test_a_disabled_user_stays_in_the_list_and_out_of_the_desk(home: Path) -> None:
    secret = secret_of(run(home, "create", "dave", "--password-stdin", typed=PASSWORD))
    assert "dave  active  made " in run(home, "list").output
    assert run(home, "disable", "dave").exit_code == 0
    assert "dave  disabled " in run(home, "list").output
    assert not logs_in(home, "dave", PASSWORD, secret)


@pytest.mark.parametrize(
    ("words", "typed", "fault"),
    [
        (("create", "Not-A-Name", "--password-stdin"), PASSWORD, "user name"),
        (("create", "erin", "--password-stdin"), "short", "12 to 1024 characters"),
        (("create", "erin", "--password-stdin"), "", "12 to 1024 characters"),
        (("create", "erin", "--password-stdin"), "x" * 2000, "12 to 1024 characters"),
        (("create", "administrator", "--password-stdin"), "administrator", "not be the name"),
        (("reset-mfa", "nobody"), "", "There is no user 'nobody'"),
        (("disable", "nobody"), "", "There is no user 'nobody'"),
        (("set-password", "nobody", "--password-stdin"), PASSWORD, "There is no user 'nobody'"),
    ],
)
def test_a_fault_is_one_line_and_exit_code_2(home: Path, words: tuple[str, ...], typed: str, fault: str) -> None:
    result = run(home, *words, typed=typed)
    assert result.exit_code == 2
    assert fault in result.output
    assert len(result.output.splitlines()) == 1


def test_a_name_is_taken_once(home: Path) -> None:
    assert run(home, "create", "frank", "--password-stdin", typed=PASSWORD).exit_code == 0
    again = run(home, "create", "frank", "--password-stdin", typed=PASSWORD)
    assert (again.exit_code, "already" in again.output) == (2, True)


def test_every_command_has_an_example(home: Path) -> None:
    for command in ("create", "set-password", "reset-mfa", "list", "disable"):
        assert "Example: gatehouse user" in run(home, command, "--help").output


def test_a_list_without_users_says_how_to_make_one(tmp_path: Path) -> None:
    initialise(Settings(home=tmp_path / "home"), BinLayout(simple_bits=1, files_bits=1))
    listed = run(tmp_path / "home", "list")
    assert (listed.exit_code, "gatehouse user create NAME" in listed.output) == (0, True)
