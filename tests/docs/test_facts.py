"""The page on facts shows what is so: each of its examples gives what stands below it."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

from gatehouse.malware.facts.decoding import FUNCTIONS
from tests.support.documents import blocks

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "facts.md"


def test_every_example_gives_what_the_page_says() -> None:
    examples = blocks(PAGE, "pycon")
    test = doctest.DocTestParser().get_doctest("\n".join(examples), {}, PAGE.name, str(PAGE), 0)
    told: list[str] = []
    outcome = doctest.DocTestRunner(verbose=False).run(test, out=told.append)

    assert (outcome.failed, "".join(told)) == (0, "")
    assert outcome.attempted > 30


def test_every_decoder_has_its_layer_on_the_page() -> None:
    named = set(re.findall(r"`([^`\n]+)`", PAGE.read_text(encoding="utf-8")))

    assert {layer for layer, _ in FUNCTIONS.values()} <= named
