"""A new snapshot is compressed before anybody asks for it."""

from __future__ import annotations

import gzip
from pathlib import Path

from gatehouse.gate.ports import Coding
from gatehouse.worker.encoding import EncodingLoop
from tests.support.house import house


def test_the_newest_snapshot_is_there_in_every_coding_after_a_publication(tmp_path: Path) -> None:
    with house(tmp_path / "home") as home:
        gatehouse = home.gatehouse
        encodings = gatehouse.metadata_encodings
        loop = EncodingLoop(database=gatehouse.database, store=gatehouse.metadata_store, encodings=encodings)
        home.wheel()
        home.work()
        loop.round()
        version = gatehouse.health.overview().snapshot_version
        name = f"{version}.snapshot.json"

        def nobody_reads() -> bytes | None:
            raise AssertionError(f"{name} was not made")

        for coding in Coding:
            assert encodings.get(name, coding, nobody_reads) is not None
        packed = encodings.get(name, Coding.GZIP, nobody_reads)
        assert packed is not None
        assert gzip.decompress(packed.data) == gatehouse.metadata_store.read(name)


def test_no_snapshot_is_read_again_when_nothing_was_published(tmp_path: Path) -> None:
    with house(tmp_path / "home") as home:
        gatehouse = home.gatehouse
        reads: list[str] = []

        class Counting:
            """The store, and what was read of it."""

            def read(self, name: str) -> bytes | None:
                reads.append(name)
                return gatehouse.metadata_store.read(name)

        loop = EncodingLoop(
            database=gatehouse.database,
            store=Counting(),  # type: ignore[arg-type]  # the loop only reads
            encodings=gatehouse.metadata_encodings,
        )
        loop.round()
        home.wheel()
        home.work()
        loop.round()
        first = list(reads)
        loop.round()
        assert first
        assert reads == first
        assert len(set(reads)) * len(Coding) == len(reads)
