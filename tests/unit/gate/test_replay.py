"""A replay screens each archive as what it is, from memory, in the order of the specimens."""

from __future__ import annotations

from pathlib import Path

from gatehouse.gate.replay import memory_file, read_as, replay
from gatehouse.malware.evaluation.model import Label, Specimen
from gatehouse.malware.job import Job, Report, incomplete
from gatehouse.malware.lifecycle import Plan
from gatehouse.malware.model import Outcome

ZIP, TAR = b"PK\x03\x04 and more", b"\x1f\x8b and more"


class Held(dict[str, bytes]):
    """Archives in memory, by their names."""

    def read(self, specimen: Specimen) -> bytes:
        return self[specimen.name]


class Watching:
    """A screener that keeps what it is given, and finds nothing out."""

    def __init__(self) -> None:
        self.seen: dict[str, bytes] = {}

    def screen(self, job: Job, archive: Path) -> Report:
        self.seen[job.subject.filename or ""] = archive.read_bytes()
        return incomplete(job, "it was only looked at")


def test_each_archive_is_handed_on_under_what_it_is() -> None:
    held = Held({"a/almond-1.0.tar.gz": TAR, "b/cherry-1.0.tar.gz": ZIP, "c/nameless": TAR})
    specimens = [Specimen(label=Label.MALICIOUS, name=name, group=name, place="setup.py") for name in held]
    watching = Watching()
    results = list(replay(held, specimens, watching, plan=Plan(checks=()), slots=2))
    assert [result.specimen for result in results] == specimens
    assert {result.outcome for result in results} == {Outcome.INCOMPLETE}
    assert watching.seen == {
        "almond-1.0.tar.gz": TAR,
        "cherry-1.0-py3-none-any.whl": ZIP,
        "unnamed-1.0.tar.gz": TAR,
    }


def test_a_zip_under_another_name_is_read_as_a_wheel() -> None:
    assert read_as("a/1/a-1.tar.gz", ZIP) == "a-1-py3-none-any.whl"
    assert read_as("a/1/a-1-py3-none-any.tar.gz", ZIP) == "a-1-py3-none-any.whl"
    assert read_as("a/1/a-1.tar.gz", TAR) == "a-1.tar.gz"
    assert read_as("a-1.zip", ZIP) == "a-1.zip"


def test_a_memory_file_is_gone_with_its_block() -> None:
    with memory_file(b"inert") as path:
        assert path.read_bytes() == b"inert"
    assert not path.exists()
