"""The suite: every law tried on a recording, in all its cases or in a sample of them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from gatehouse.conformance.bench import HEALS, Bench
from gatehouse.conformance.cases import drawn
from gatehouse.conformance.laws import LAWS, Law
from gatehouse.conformance.play import Player
from gatehouse.conformance.recording import BadRecording, Recording
from gatehouse.conformance.refusals import REFUSALS
from gatehouse.conformance.report import Report, Tally
from gatehouse.core.errors import CallerError

#: A client writes a dozen small files in each session: in memory that takes less than half the time.
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 -- a folder of an unguessable name is made in it
_ENOUGH: Final = 1024**3
ALL_LAWS = (*LAWS, *REFUSALS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How thoroughly to try, and what the repository owes.

    Attributes:
        sample: the most cases of each law to try; None tries all.
        seed: of the sample; the same one draws the same cases.
        grace: the longest life of an answer in a cache plus the longest session.
        laws: the names of those to try; empty: all.
    """

    sample: int | None = None
    seed: int = 0
    grace: timedelta = timedelta(hours=1)
    laws: frozenset[str] = frozenset()


def play_all(
    recording: Recording,
    options: Options | None = None,
    *,
    progress: Callable[[str, int, int], None] = lambda _law, _done, _cases: None,
) -> Report:
    """Try every law on a recording.

    Args:
        recording: what a repository served.
        options: how thoroughly; by default everything is tried, with a grace of an hour.
        progress: told the law, and how many of its cases are done.

    Raises:
        CallerError: there is no law of that name.
        BadRecording: a file of the recording cannot be read.
    """
    options = options or Options()
    laws = _chosen(options.laws)
    heals = Tally(
        law=HEALS, sentence="Whatever happened to a client, it takes the newest state when it comes back."
    )
    tallies = []
    with tempfile.TemporaryDirectory(prefix="gatehouse-conformance-", dir=_scratch()) as folder:
        player = Player(recording, Path(folder))
        bench = Bench(recording=recording, player=player, grace=options.grace, heals=heals)
        for law in laws:
            cases = law.cases(bench)
            tried = len(cases) if options.sample is None else min(options.sample, len(cases))
            tally = Tally(law=law.name, sentence=law.sentence, cases=len(cases), tried=tried)
            for number, case in enumerate(drawn(cases, options.sample, options.seed, law.name)):
                progress(law.name, number, tried)
                law.play(bench, tally, case)
            tallies.append(tally)
        sessions = player.ran
    if not any(tally.plays for tally in tallies):
        raise BadRecording("The recording gives these laws nothing to try.")
    return Report(tallies=(*tallies, heals), states=len(recording.states), sessions=sessions)


def _scratch() -> Path | None:
    """Where clients keep what they hold: in memory if the machine lends enough, else among temporary files."""
    try:
        lends = os.access(_MEMORY, os.W_OK | os.X_OK) and shutil.disk_usage(_MEMORY).free >= _ENOUGH
    except OSError:
        return None
    return _MEMORY if lends else None


def _chosen(names: Collection[str]) -> tuple[Law, ...]:
    known = {law.name for law in ALL_LAWS}
    unknown = sorted(set(names) - known)
    if unknown:
        raise CallerError(f"There is no law {unknown[0]!r}; there are {', '.join(sorted(known))}.")
    return tuple(law for law in ALL_LAWS if not names or law.name in names)
