"""The page on operating the signing side is true: its commands are run, and print what it says."""

from __future__ import annotations

from pathlib import Path

from tests.support.walking import Reader, check, environment, walk

PAGE = Path(__file__).parents[2] / "docs/how-to/operate-signing.md"


def test_the_page_on_operating_the_signing_side_works_as_it_is_written(tmp_path: Path) -> None:
    check(walk(PAGE, Reader(folder=tmp_path, environment=environment(tmp_path))), at_least=17)
