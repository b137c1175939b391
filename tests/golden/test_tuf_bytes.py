"""The very bytes of a small repository, with fixed keys and a fixed clock.

A difference here is a change of what every published version renders to: clients would not mind, but a
publisher that recovers from a crash would find other bytes than it committed. To accept one deliberately, run
these tests once with GATEHOUSE_TEST_WRITE_GOLDEN=1 and say why in the change.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from gatehouse.tuf.bins import BinLayout
from tests.support.tuf_repository import Repository

GOLDEN = Path(__file__).parent / "tuf"


def published() -> dict[str, bytes]:
    repository = Repository(layout=BinLayout(simple_bits=1, files_bits=1))
    repository.publish()
    repository.advance(timedelta(hours=1))
    repository.publish(
        {
            repository.put("files/spam/spam-1.0.tar.gz"),
            repository.put("files/spam/spam-1.0+local~1!x-py3-none-any.whl"),
            repository.put("simple/spam/index.html"),
            repository.put("simple/spam/index.v1.json"),
        }
    )
    return {
        name.removeprefix("metadata/"): data
        for name, data in repository.files.items()
        if name.startswith("metadata/")
    }


def test_a_small_repository_has_the_bytes_that_it_always_had() -> None:
    files = published()
    if os.environ.get("GATEHOUSE_TEST_WRITE_GOLDEN"):
        GOLDEN.mkdir(exist_ok=True)
        for name, data in files.items():
            (GOLDEN / name).write_bytes(data)
        pytest.fail("The golden files were written: run again without GATEHOUSE_TEST_WRITE_GOLDEN.")

    assert sorted(files) == sorted(path.name for path in GOLDEN.iterdir())
    assert files == {path.name: path.read_bytes() for path in GOLDEN.iterdir()}
