"""A compressed form is made once, whoever asks and however many at a time, and a sick cache costs time alone."""

from __future__ import annotations

import gzip
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import brotli  # type: ignore[import-untyped]  # ships no types
import pytest

from gatehouse.core.digests import sha256_hex
from gatehouse.core.errors import StoreError
from gatehouse.gate.encode import KEEP_FROM, Encodings, compress
from gatehouse.gate.ports import Coding, Encoded

LARGE = b"a large text that compresses well, " * 1000
SMALL = b"small"


@dataclass
class Kept:
    """Forms in a dictionary, that can be told to fail."""

    forms: dict[tuple[str, Coding], Encoded] = field(default_factory=dict)
    sick: bool = False

    def load(self, name: str, coding: Coding) -> Encoded | None:
        self._look()
        return self.forms.get((name, coding))

    def keep(self, name: str, coding: Coding, encoded: Encoded) -> None:
        self._look()
        self.forms[name, coding] = encoded

    def _look(self) -> None:
        if self.sick:
            raise StoreError("The disk is full.")


@dataclass
class Source:
    """Bytes, and how often they were read."""

    data: bytes | None = LARGE
    reads: int = 0

    def __call__(self) -> bytes | None:
        self.reads += 1
        return self.data


def unpacked(encoded: Encoded | None, coding: Coding) -> bytes:
    assert encoded is not None
    return gzip.decompress(encoded.data) if coding is Coding.GZIP else brotli.decompress(encoded.data)


@pytest.mark.parametrize("coding", list(Coding))
@pytest.mark.parametrize("data", [b"", SMALL, LARGE, bytes(range(256)) * 20_000])
def test_a_form_unpacks_to_the_bytes_and_names_them(coding: Coding, data: bytes) -> None:
    encoded = Encodings(kept=Kept()).get("1.a.json", coding, Source(data))
    assert unpacked(encoded, coding) == data
    assert encoded is not None
    assert encoded.of_sha256 == sha256_hex(data)
    assert compress(data, coding) == encoded.data


def test_a_form_is_made_once_and_outlives_the_process_if_it_is_large() -> None:
    kept, source = Kept(), Source()
    encodings = Encodings(kept=kept)
    for _ in range(3):
        encodings.get("1.a.json", Coding.GZIP, source)
    assert source.reads == 1
    Encodings(kept=kept).get("1.a.json", Coding.GZIP, source)
    assert source.reads == 1
    encodings.get("1.b.json", Coding.GZIP, Source(SMALL))
    assert [name for name, _ in kept.forms] == ["1.a.json"]
    assert len(SMALL) < KEEP_FROM <= len(LARGE)


def test_what_is_not_worth_keeping_is_remembered_alone() -> None:
    kept, source = Kept(), Source()
    encodings = Encodings(kept=kept)
    for _ in range(2):
        assert unpacked(encodings.get("list", Coding.GZIP, source, keep=False), Coding.GZIP) == LARGE
    assert (source.reads, kept.forms) == (1, {})


def test_each_coding_is_a_form_of_its_own() -> None:
    encodings = Encodings(kept=Kept())
    gzipped, brotlied = (encodings.get("1.a.json", coding, Source()) for coding in (Coding.GZIP, Coding.BROTLI))
    assert gzipped != brotlied


def test_what_is_not_there_has_no_form_and_may_come_later() -> None:
    encodings, source = Encodings(kept=Kept()), Source(None)
    assert encodings.get("9.a.json", Coding.GZIP, source) is None
    source.data = SMALL
    assert unpacked(encodings.get("9.a.json", Coding.GZIP, source), Coding.GZIP) == SMALL


def test_who_asks_meanwhile_waits_and_makes_none() -> None:
    encodings, source = Encodings(kept=Kept()), Source()
    begun, may_end = threading.Event(), threading.Event()

    def slowly() -> bytes | None:
        begun.set()
        assert may_end.wait(60)
        return source()

    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(encodings.get, "1.a.json", Coding.BROTLI, slowly)
        assert begun.wait(60)
        others = [pool.submit(encodings.get, "1.a.json", Coding.BROTLI, source) for _ in range(7)]
        # Other names do not wait for this one.
        assert encodings.get("1.b.json", Coding.BROTLI, Source(SMALL)) is not None
        may_end.set()
        forms = {future.result(60) for future in (first, *others)}
    assert len(forms) == 1
    assert source.reads == 1


def test_a_fault_reaches_all_who_wait_and_the_next_one_tries_again() -> None:
    encodings = Encodings(kept=Kept())

    def sick() -> bytes | None:
        raise StoreError("The disk failed.")

    for _ in range(2):
        with pytest.raises(StoreError):
            encodings.get("1.a.json", Coding.GZIP, sick)
    assert encodings.get("1.a.json", Coding.GZIP, Source()) is not None


def test_a_cache_that_fails_costs_time_and_no_answer() -> None:
    kept, source = Kept(sick=True), Source()
    encodings = Encodings(kept=kept, memory=0)
    for reads in (1, 2):
        assert unpacked(encodings.get("1.a.json", Coding.GZIP, source), Coding.GZIP) == LARGE
        assert source.reads == reads


def test_memory_forgets_what_was_asked_for_longest_ago() -> None:
    form = len(compress(SMALL, Coding.GZIP))
    encodings = Encodings(kept=Kept(), memory=2 * form)
    sources = {name: Source(SMALL) for name in ("1.a.json", "1.b.json", "1.c.json")}
    for name in ("1.a.json", "1.b.json", "1.a.json", "1.c.json", "1.a.json", "1.b.json"):
        encodings.get(name, Coding.GZIP, sources[name])
    assert {name: source.reads for name, source in sources.items()} == {
        "1.a.json": 1,
        "1.b.json": 2,
        "1.c.json": 1,
    }
