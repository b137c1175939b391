"""What an operator types about work that failed for good. No server runs."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result

from gatehouse.cli import main
from gatehouse.gate.accept import SCREEN_FILE
from tests.support.house import House, house


def run(home: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["outbox", *words], env={"GATEHOUSE_HOME": str(home)})


def die(home: House, *, topic: str = SCREEN_FILE, payload: dict[str, object] | None = None) -> int:
    """Have all of a topic fail for good; the number of the last."""
    database, now = home.gatehouse.database, home.gatehouse.clock.now()
    with database.write() as transaction:
        if payload is not None:
            transaction.outbox.add(topic, payload, at=now)
        numbers = transaction.outbox.due([topic], limit=10, now=home.gatehouse.clock.now())
        for number in numbers:
            transaction.outbox.fail(number, "StoreError: the disk is\x1b full", retry_at=None)
    return numbers[-1]


def test_dead_letters_are_listed_with_their_file_and_error(tmp_path: Path) -> None:
    with house(tmp_path / "home") as home:
        filename = home.wheel().file.filename
        waiting = run(tmp_path / "home", "list").output.splitlines()
        assert waiting == ["waiting  screen-file  1", "There are no dead letters."]
        number = die(home)
        (line,) = run(tmp_path / "home", "list").output.splitlines()
    assert line.startswith(f"dead  {number}  screen-file  {filename} (accepted)")
    assert "the disk is" in line
    assert "\x1b" not in line


def test_what_is_tried_again_is_done(tmp_path: Path) -> None:
    with house(tmp_path / "home") as home:
        filename = home.wheel().file.filename
        number = die(home)
        home.work()
        assert home.file(filename).state.value == "accepted"
        assert run(tmp_path / "home", "retry", str(number)).output == "1 to be tried again.\n"
        home.work()
        assert home.file(filename).state.value == "published"
        assert run(tmp_path / "home", "retry", str(number)).exit_code == 2
        assert run(tmp_path / "home", "retry").exit_code == 2
        with home.gatehouse.database.read() as transaction:
            (entry,) = transaction.audit.recent(limit=10)
    assert (entry.action, entry.detail["message"]) == ("outbox-retry", number)


def test_the_screening_of_a_file_that_waits_for_it_cannot_be_given_up_and_other_work_can(tmp_path: Path) -> None:
    with house(tmp_path / "home") as home:
        home.wheel()
        screening = die(home)
        refused = run(tmp_path / "home", "drop", str(screening), "--reason", "no")
        assert refused.exit_code == 2
        assert "retry it" in refused.output
        purge = die(home, topic="purge", payload={"keys": ["simple"]})
        assert run(tmp_path / "home", "drop", str(purge), "--reason", "the cache is gone").exit_code == 0
        with home.gatehouse.database.read() as transaction:
            (letter,) = transaction.outbox.dead(limit=10)
            (entry,) = transaction.audit.recent(limit=10)
    assert letter.message.id == screening
    assert (entry.action, entry.detail["reason"]) == ("outbox-drop", "the cache is gone")


def test_all_are_tried_again_at_once(tmp_path: Path) -> None:
    with house(tmp_path / "home") as home:
        home.wheel()
        home.wheel("other")
        die(home)
        assert run(tmp_path / "home", "retry", "--all").output == "2 to be tried again.\n"
        with home.gatehouse.database.read() as transaction:
            assert transaction.outbox.count() == (2, 0)
