"""How well fingerprints tie near-copies: archives of one cluster that share a key, and of two that do.

Of each open cluster of a corpus up to three archives are screened in children of the sandbox, from memory; the
clusters are the corpus's own, made by other means. *Tied* counts pairs of one cluster that share a key, among
pairs where both were flagged; *apart* counts pairs of two clusters that do not. A pair of two clusters that
shares a key may still be of one campaign that the corpus has twice, so they are named.

    .venv/bin/python -m bench.detection.near_copies CORPUS [--jobs N] [--a-cluster N]
"""

from __future__ import annotations

import argparse
import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path

from gatehouse.cli.common import settings_from_environment
from gatehouse.gate.replay import job_for_specimen, memory_file
from gatehouse.malware.evaluation.measure import Rate
from gatehouse.malware.evaluation.model import Label, Specimen, Split
from gatehouse.malware.fingerprints import alike
from gatehouse.sandbox.screener import ZygoteScreener
from gatehouse.storage.corpus import Corpus
from gatehouse.wiring import build_screener


def main() -> None:
    """Screen, pair, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--a-cluster", type=int, default=3)
    asked = parser.parse_args()
    settings = settings_from_environment({"screening_slots": asked.jobs})
    with Corpus.open(asked.corpus) as corpus, build_screener(settings) as screener:
        chosen = list(_chosen(corpus.specimens, asked.a_cluster))
        with ThreadPoolExecutor(asked.jobs) as pool:
            prints = list(pool.map(lambda specimen: _fingerprint(corpus, specimen, screener), chosen))
    known = [(specimen.group, keys) for specimen, keys in zip(chosen, prints, strict=True) if keys]
    groups = len({each.group for each in chosen})
    print(f"{len(chosen)} archives of {groups} clusters; {len(known)} have a fingerprint")
    pairs = [(one, other) for one, other in combinations(known, 2) if one[0] == other[0]]
    _tell("tied", [alike(one[1], other[1]) for one, other in pairs])
    others = [(one, other) for one, other in combinations(known, 2) if one[0] != other[0]]
    _tell("apart", [not alike(one[1], other[1]) for one, other in others])
    shared = {(min(one[0], other[0]), max(one[0], other[0])) for one, other in others if alike(one[1], other[1])}
    print("clusters that share a key:", ", ".join(f"{one}={other}" for one, other in sorted(shared)) or "none")


def _chosen(specimens: Iterable[Specimen], most: int) -> Iterator[Specimen]:
    clusters: dict[str, list[Specimen]] = defaultdict(list)
    for specimen in specimens:
        if specimen.label is Label.MALICIOUS and Split.OPEN.has(specimen.group):
            clusters[specimen.group].append(specimen)
    for _, members in sorted(clusters.items()):
        if len(members) > 1:
            yield from sorted(members, key=lambda each: hashlib.sha256(each.name.encode()).digest())[:most]


def _fingerprint(corpus: Corpus, specimen: Specimen, screener: ZygoteScreener) -> tuple[int, ...]:
    data = corpus.read(specimen)
    with memory_file(data) as path:
        return screener.screen(job_for_specimen(specimen, data), path).fingerprint


def _tell(what: str, found: list[bool]) -> None:
    rate = Rate(hits=sum(found), total=len(found))
    low, high = rate.interval.low, rate.interval.high
    print(f"{what}: {rate.hits} of {rate.total} pairs = {rate.share:.2%} ({low:.2%} to {high:.2%})")


if __name__ == "__main__":
    main()
