"""The page on measuring detection is true: its commands are run over an inert corpus, and print what it says."""

from __future__ import annotations

from pathlib import Path

from tests.support.corpora import make_samples
from tests.support.walking import Reader, check, environment, walk

PAGE = Path(__file__).parents[2] / "docs/how-to/measure-detection.md"


def test_the_page_on_measuring_works_as_it_is_written(tmp_path: Path) -> None:
    make_samples(tmp_path)
    check(walk(PAGE, Reader(folder=tmp_path, environment=environment(tmp_path))), at_least=9)
