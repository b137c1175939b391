"""What an operator types: set up, look, publish, renew, find the fault. No server runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gatehouse.cli import main


def run(home: Path, *words: str, **settings: str) -> Result:
    return CliRunner().invoke(main, words, env={"GATEHOUSE_HOME": str(home), **settings})


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = run(tmp_path / "home", "init", "--simple-bins", "2", "--files-bins", "4")
    assert made.exit_code == 0, made.output
    return tmp_path / "home"


def test_init_says_where_trust_begins_and_that_this_was_no_real_ceremony(tmp_path: Path) -> None:
    made = run(tmp_path / "home", "init", "--simple-bins", "2", "--files-bins", "4")
    root = re.search(r"trusted root +(\S+)", made.output)
    assert root is not None
    assert Path(root[1]).is_file()
    assert "development ceremony" in made.output
    assert "docs/explanation/keys.md" in made.output


def test_init_leaves_a_repository_as_it_is(home: Path) -> None:
    before = {path: path.read_bytes() for path in (home / "keys").rglob("*") if path.is_file()}
    again = run(home, "init")
    assert (again.exit_code, len(again.output.splitlines())) == (2, 1)
    assert {path: path.read_bytes() for path in (home / "keys").rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("bins", ["0", "3", "-1"])
def test_a_number_of_bins_that_cannot_be_is_refused_and_leaves_nothing(tmp_path: Path, bins: str) -> None:
    refused = run(tmp_path / "home", "init", f"--simple-bins={bins}")
    assert refused.exit_code == 2
    assert "power of two" in refused.output
    assert not (tmp_path / "home").exists()


def test_status_names_every_role_with_version_and_expiry(home: Path) -> None:
    lines = run(home, "tuf", "status").output.splitlines()
    roles = {line[:22].strip(): line for line in lines if " UTC (in " in line}
    assert list(roles) == [
        *("root", "targets", "audit", "bins", "simple-bins", "files-bins"),
        *("simple-bin-n (all 2)", "files-bin-n (all 4)", "snapshot", "timestamp"),
    ]
    assert "0 target changes, 0 messages" in "\n".join(lines)
    assert re.search(r"publication 1 \(.*, 0 changes\): 20", lines[-1])


def test_publish_and_renew_say_what_they_did(home: Path) -> None:
    assert run(home, "tuf", "publish").stdout == "There is nothing to publish.\n"
    assert run(home, "tuf", "renew").stdout == "Published snapshot 2: 0 target changes.\n"
    status = run(home, "tuf", "status").output
    assert re.search(r"^timestamp +2 ", status, re.MULTILINE)
    assert re.search(r"^files-bin-n \(all 4\) +2 ", status, re.MULTILINE)


def test_doctor_finds_everything_well(home: Path) -> None:
    result = run(home, "doctor")
    assert result.exit_code == 0
    named = [line.split(":")[0] for line in result.output.splitlines()]
    assert named == [
        f"ok     {part}"
        for part in ("database", "blobs", "metadata", "keys", "checks", "sandbox", "broker", "freshness")
    ]


def test_doctor_names_a_key_that_is_gone(home: Path) -> None:
    (home / "keys" / "online.pem").rename(home / "keys" / "lost.pem")
    result = run(home, "doctor")
    assert result.exit_code == 1
    (fault,) = (line for line in result.output.splitlines() if line.startswith("FAULT"))
    assert "keys" in fault
    assert "online.pem" in fault


def test_a_command_without_a_repository_says_what_to_do(tmp_path: Path) -> None:
    for words in (("tuf", "status"), ("doctor",), ("token", "list")):
        refused = run(tmp_path / "nowhere", *words)
        assert (refused.exit_code, len(refused.output.splitlines())) == (2, 1)
        assert "gatehouse init" in refused.output
    assert not (tmp_path / "nowhere").exists()


def test_migrate_may_be_repeated(home: Path) -> None:
    assert run(home, "migrate").output == "The database schema is current.\n"


def test_a_token_is_made_listed_and_ended(home: Path) -> None:
    made = run(home, "token", "create", "--account", "alice", "--project", "Some.Project", "--days", "9").output
    assert made.startswith("gatehouse-")
    listed = run(home, "token", "list").output
    assert "alice  some-project  made " in listed
    assert made.strip() not in listed
    assert run(home, "token", "revoke", listed.split()[0]).exit_code == 0
    assert "revoked 20" in run(home, "token", "list").output
    unknown = run(home, "token", "revoke", "0" * 32)
    assert (unknown.exit_code, len(unknown.output.splitlines())) == (2, 1)


def test_settings_are_shown_with_their_origin_and_without_passwords(tmp_path: Path) -> None:
    shown = run(
        tmp_path, "config", "show", GATEHOUSE_DATABASE_URL="postgresql://gate:hunter2@db.invalid/gatehouse"
    ).output
    assert "GATEHOUSE_PORT=6458  (default)" in shown
    assert "gate:***@db.invalid/gatehouse  (GATEHOUSE_DATABASE_URL)" in shown
    assert "hunter2" not in shown


def test_an_unknown_setting_stops_every_start_with_its_name(tmp_path: Path) -> None:
    for words in (("serve",), ("init",), ("config", "show")):
        refused = run(tmp_path / "home", *words, GATEHOUSE_PROT="6458")
        assert (refused.exit_code, len(refused.output.splitlines())) == (2, 1)
        assert "GATEHOUSE_PROT" in refused.output
