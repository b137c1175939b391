"""Procedures that change keys and bins, written down as they are done: right ones harm nobody, wrong ones do.

Every write of a procedure is a state of its recording, so each is tried at all its crash points too.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from gatehouse.conformance.report import Report
from gatehouse.conformance.suite import Options, play_all
from tests.support.synthetic import HOUR, PATHS, Synthetic

G = HOUR + timedelta(minutes=1)
OPTIONS = Options(sample=80)


def settled(**options: str | int) -> Synthetic:
    """A repository with a past: a target, then another and a new edition of the first, half an hour apart."""
    made = Synthetic(**options)  # type: ignore[arg-type]  # the caller names the options of its test
    made.put(PATHS[0])
    made.sign_bins("A")
    made.announce("A")
    made.wait(HOUR / 2)
    made.put(PATHS[1])
    made.put(PATHS[0], 2)
    made.sign_bins("A")
    made.announce("A")
    made.wait(HOUR / 2)
    return made


def carry_on(made: Synthetic, by: str) -> None:
    """What happens after the procedure: one more target."""
    made.wait(HOUR / 4)
    made.put(PATHS[2])
    made.sign_bins(by)
    made.announce(by)


def broken(report: Report) -> set[str]:
    return {tally.law for tally in report.tallies if tally.failed}


def sentences(report: Report) -> str:
    return "\n".join(f"{item.law}: {item.where}: {item.said}" for item in report.violations)


# --- what is right -----------------------------------------------------------------------------------------------


def uploads_alone() -> Synthetic:
    made = settled()
    carry_on(made, "A")
    return made


def a_spare_takes_over() -> Synthetic:
    """A and B are listed from the first. B signs all, {B, C} are delegated to, a grace later root follows."""
    made = settled(online="AB")
    made.sign_bins("B")
    made.announce("B")
    made.wait(timedelta(minutes=5))
    made.delegate("BC")
    made.announce("B")
    made.wait(G)
    made.root("BC")
    made.announce("B")
    carry_on(made, "B")
    return made


def a_key_without_a_spare() -> Synthetic:
    """Root lists both; a grace later the delegation does; then the bins are B's, and A goes everywhere."""
    made = settled()
    made.root("AB")
    made.announce("A")
    made.wait(G)
    made.delegate("AB")
    made.announce("A")
    made.wait(timedelta(minutes=5))
    made.sign_bins("B")
    made.announce("B")
    made.delegate("B")
    made.announce("B")
    made.wait(G)
    made.root("B")
    made.announce("B")
    carry_on(made, "B")
    return made


def more_bins_in_place() -> Synthetic:
    """The delegation and every bin, with higher versions, in one snapshot."""
    made = settled()
    made.delegate("A", bits=2)
    made.sign_bins("A")
    made.announce("A")
    carry_on(made, "A")
    return made


def more_bins_by_a_new_prefix() -> Synthetic:
    """New bins are listed while the old ones live; the delegation flips; the old names stay in the snapshot."""
    made = settled()
    old = made.delegated
    assert old is not None
    made.delegate("A", prefix="more", bits=2)
    new, made.delegated = made.delegated, old
    assert new is not None
    made.meta["targets"] -= 1
    made.sign_bins("A", succinct=new)
    made.announce("A")
    made.wait(timedelta(minutes=5))
    made.delegated = new
    made.meta["targets"] += 1
    made.announce("A")
    made.wait(G)
    files = sorted(name for name in made.recorder.files if ".bin-" in name)
    made.collect(name.removeprefix("metadata/") for name in files)
    carry_on(made, "A")
    return made


def clean_up_after_the_grace() -> Synthetic:
    made = settled()
    made.wait(G)
    made.collect(["1.bin-0.json", "1.bin-1.json", "1.snapshot.json", "2.snapshot.json"])
    carry_on(made, "A")
    return made


RIGHT: tuple[Callable[[], Synthetic], ...] = (
    uploads_alone,
    a_spare_takes_over,
    a_key_without_a_spare,
    more_bins_in_place,
    more_bins_by_a_new_prefix,
    clean_up_after_the_grace,
)


@pytest.mark.parametrize("procedure", RIGHT, ids=lambda procedure: procedure.__name__)
def test_a_right_procedure_harms_no_client(procedure: Callable[[], Synthetic]) -> None:
    report = play_all(procedure().recording(), OPTIONS)

    assert report.failed == 0, sentences(report)
    assert report.tally("heals").plays > 500, "it must have been tried"
    for law in (
        "fresh",
        "resting",
        "switch",
        "drift",
        "interrupted",
        "stale-root",
        "stale-both",
        "swept",
        "whole",
    ):
        assert report.tally(law).plays > 0
    for law in ("replayed", "altered", "outdated", "frozen"):
        assert report.tally(law).plays > 0, f"{law} shows that the judge refuses what it must"


# --- what is wrong -----------------------------------------------------------------------------------------------


def swapped_without_signing_the_delegation() -> Synthetic:
    made = settled()
    made.root("AB")
    made.announce("A")
    made.wait(G)
    made.sign_bins("B")
    made.announce("B")
    return made


def root_without_waiting() -> Synthetic:
    """Old and new, swap, new: right in order, and too fast."""
    made = settled(online="AB")
    made.root("B")
    made.announce("B")
    return made


def timestamp_before_root() -> Synthetic:
    made = settled()
    made.timestamp("B")
    made.root("AB")
    return made


def old_bin_names_dropped() -> Synthetic:
    made = settled()
    made.delegate("A", prefix="more", bits=2)
    for name in [name for name in made.meta if name.startswith("bin-")]:
        del made.meta[name]
    made.sign_bins("A")
    made.announce("A")
    return made


def cleaned_up_at_once() -> Synthetic:
    made = settled()
    made.collect(["2.bin-0.json", "2.bin-1.json", "2.snapshot.json"])
    made.put(PATHS[2])
    made.sign_bins("A")
    made.announce("A")
    made.collect(["3.bin-0.json", "3.bin-1.json", "3.snapshot.json"])
    return made


def timestamp_before_its_files() -> Synthetic:
    made = settled()
    made.put(PATHS[2])
    files = dict(made.recorder.files)
    made.quiet = True
    made.sign_bins("A")
    made.announce("A")
    made.quiet = False
    late = [name for name in made.recorder.files if name.startswith("metadata/") and name not in files]
    hidden = {name: made.recorder.read(name) or b"" for name in late}
    for name in late:
        made.recorder.drop(name)
    made.note("the timestamp first")
    for name, data in hidden.items():
        made.recorder.put(name, data)
        made.note(name)
    return made


def a_stale_publisher() -> Synthetic:
    """It moves the timestamp back to the one it had prepared before another took over."""
    made = settled()
    stale = made.recorder.read("metadata/timestamp.json")
    carry_on(made, "A")
    assert stale is not None
    newest = made.recorder.read("metadata/timestamp.json")
    assert newest is not None
    made.recorder.put("metadata/timestamp.json", stale)
    made.note("the stale publisher wrote")
    made.recorder.put("metadata/timestamp.json", newest)
    made.note("the other wrote again")
    return made


def a_version_signed_twice() -> Synthetic:
    made = settled()
    made.put(PATHS[2])
    made.sign_bins("A")
    before = dict(made.versions)
    made.announce("A")
    made.versions = before
    made.wait(timedelta(minutes=1))
    made.announce("A")
    return made


def nobody_renews() -> Synthetic:
    made = settled()
    made.wait(made.life)
    made.note("still the same")
    return made


def a_bin_goes_back() -> Synthetic:
    made = settled()
    made.meta["bin-0"] -= 1
    made.announce("A")
    return made


WRONG: dict[Callable[[], Synthetic], tuple[set[str], str]] = {
    swapped_without_signing_the_delegation: ({"fresh", "resting", "whole"}, "signed by 0/1 keys"),
    root_without_waiting: ({"stale-timestamp"}, "signed by 0/1 keys"),
    timestamp_before_root: ({"fresh", "resting", "switch"}, "timestamp was signed by 0/1 keys"),
    old_bin_names_dropped: ({"resting", "heals"}, "New snapshot is missing info for 'bin-"),
    cleaned_up_at_once: ({"switch"}, "there is no metadata/2.snapshot.json"),
    timestamp_before_its_files: ({"fresh", "resting", "whole"}, "there is no metadata/4.snapshot.json"),
    a_stale_publisher: ({"resting"}, "New timestamp version"),
    a_version_signed_twice: ({"written-once"}, "signed twice, with different content"),
    nobody_renews: ({"fresh"}, "timestamp.json is expired"),
    a_bin_goes_back: ({"resting", "heals"}, "BadVersionNumberError"),
}


@pytest.mark.parametrize("procedure", WRONG, ids=lambda procedure: procedure.__name__)
def test_a_wrong_procedure_is_caught_and_named(procedure: Callable[[], Synthetic]) -> None:
    report = play_all(procedure().recording(), Options(sample=200))

    laws, said = WRONG[procedure]
    assert laws <= broken(report), sentences(report)
    assert said in sentences(report)


def test_a_failure_says_who_met_what_and_at_which_request() -> None:
    made = settled()
    made.timestamp("B")
    made.root("AB")
    report = play_all(made.recording(), Options(laws=frozenset({"switch"})))

    first = report.violations[0]
    assert first.where.startswith("a new client began at state ")
    assert "(timestamp 1)" in first.where
    assert "from request" in first.where
    assert (
        first.said == "request 1, metadata/timestamp.json: UnsignedMetadataError: timestamp was signed by 0/1 keys"
    )


def test_a_longer_grace_asks_for_more() -> None:
    """Clean-up an hour after is within the rules of a grace of an hour, and not of a grace of a day."""
    recording = clean_up_after_the_grace().recording()
    laws = frozenset({"switch"})

    assert play_all(recording, Options(laws=laws)).failed == 0
    assert play_all(recording, Options(laws=laws)).tally("switch").transient > 0
    assert play_all(recording, Options(laws=laws, grace=timedelta(days=1))).failed > 0


def test_what_was_taken_back_is_owed_to_nobody() -> None:
    """A target that is removed with its content, as malware is: a session that began before may end there."""
    made = settled()
    folder, _, name = PATHS[1].rpartition("/")
    content = f"targets/{folder}/{made.targets[PATHS[1]].hashes['sha256']}.{name}"
    del made.targets[PATHS[1]]
    made.sign_bins("A")
    made.announce("A")
    made.recorder.drop(content)
    made.note("the content is gone")
    report = play_all(made.recording())
    assert report.failed == 0, sentences(report)
    assert report.tally("switch").transient > 0

    # The same while it is still listed: nobody was told, and every client fails.
    listed = settled()
    listed.recorder.drop(content)
    listed.note("the content is lost")
    assert "fresh" in broken(play_all(listed.recording()))


def test_a_repository_that_had_lapsed_is_taken_again_once_it_publishes() -> None:
    made = settled()
    made.wait(made.life)
    made.lapsed = True
    made.note("nobody was there to renew")
    made.sign_bins("A")
    made.announce("A")
    report = play_all(made.recording())

    assert report.failed == 0, sentences(report)
    assert report.tally("resting").transient > 0
