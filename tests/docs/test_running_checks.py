"""The page on running checks is true: its commands are run, and print what it says."""

from __future__ import annotations

from pathlib import Path

from tests.support.walking import Reader, check, environment, walk

PAGE = Path(__file__).parents[2] / "docs/how-to/run-checks.md"


def test_the_page_on_running_checks_works_as_it_is_written(tmp_path: Path) -> None:
    check(walk(PAGE, Reader(folder=tmp_path, environment=environment(tmp_path))), at_least=8)
