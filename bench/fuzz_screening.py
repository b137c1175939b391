"""Fuzzing of unpacking, facts and checks: whatever the bytes, a screening ends in a report.

    .venv/bin/python -m bench.fuzz_screening --minutes 60 [--seed TEXT] [--jobs N]
    .venv/bin/python -m bench.fuzz_screening --replay KEY

A case begins with an archive made of the examples of the checks' pages, alone or mixed, and is changed: bytes
of the archive, bytes of the tar inside its gzip, or the sources before they are packed (tokens of other
examples, deep nesting, long lines, odd characters, cut ends). It is made from its key alone, so that every case
can be played again. Each batch runs in a child with limits on memory and on processor time; a case in ten is
screened twice, and both reports must be the same bytes.

What is counted: *crashes* (the child died, or an exception left `service.run`), *overruns* (a case took more
processor time than a child of the sandbox has), *differences* (two reports of one case), and *faults*: an
exception that ended as INCOMPLETE, as it must, by its words. Crashes, overruns and differences make the command
fail.
"""

from __future__ import annotations

import argparse
import gzip
import io
import os
import random
import resource
import secrets
import signal
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from gatehouse.malware import service
from gatehouse.malware.example_jobs import job_of
from gatehouse.malware.job import Job
from gatehouse.malware.model import Kind, Outcome
from gatehouse.malware.pages import Example
from gatehouse.malware.registry import Registry
from gatehouse.malware.wire import report_to_bytes

_BATCH = 50
#: Of a child of this bench: above what a screening may take, so that reaching it is a finding.
_MEMORY = 2 * 1024**3
_CASE_SECONDS = 30
_TWICE = 10
_NESTING = 3000
#: Of one member, in characters: more than is kept of any, and less than making it takes the child's memory.
_LONGEST_TEXT = 12 * 1024**2
_OUTCOMES = frozenset(outcome.value for outcome in Outcome)
_ODD = (
    "\x00",
    "\ufeff",
    "\u202e",
    "\u200b",
    "\ud7ff",
    "\x0c",
    "\r",
    "\uff45\uff58\uff45\uff43",
    "\U0001f40d",
    "\\\n",
    "\t",
    '"""',
    "'''",
)
_TALL = ("(", "[", "{", "-", "not ", "lambda: ", "x if x else ", "f(", "a.", "a[", "1+", "await ", "*", "if x:\n ")
_SHAPES = (
    "exec({})",
    "eval({})\n",
    "getattr(__builtins__, {})",
    "x = {}\n",
    "class A:\n    x = {}\n",
    "f'{{ {} }}'",
)


@dataclass(kw_only=True, slots=True)
class Tally:
    """What has come of the cases so far."""

    cases: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: dict[str, str] = field(default_factory=dict)
    bad: list[str] = field(default_factory=list)

    def add(self, line: str) -> None:
        """One line of a child: the case's key, a word, and what else it says."""
        key, word, *rest = line.split("\t")
        if word in _OUTCOMES:
            self.cases += 1
            self.outcomes[word] += 1
        elif word == "fault":
            self.faults.setdefault(rest[0], key)
        else:
            self.bad.append(f"{word} {key} {' '.join(rest)}")


def main() -> int:
    """Fuzz, print what was met; 1 if anything was that must not be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", default=secrets.token_hex(4), help="cases are made from it and their number")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--replay", metavar="KEY", help="one case, in this process")
    arguments = parser.parse_args()
    if arguments.replay:
        print("\n".join(_lines(arguments.replay, twice=True)))
        return 0
    tally = Tally()
    until = time.monotonic() + arguments.minutes * 60
    _seeds()
    batch = 0
    while time.monotonic() < until:
        # All in one thread: it is its scanners of rules that the children inherit.
        begun = [_begin(arguments.seed, number) for number in range(batch, batch + arguments.jobs)]
        for number, (child, readable) in enumerate(begun, batch):
            for line in _ended(arguments.seed, number, child, readable):
                tally.add(line)
        batch += arguments.jobs
    _print(tally, arguments.seed, arguments.minutes)
    return 1 if tally.bad or not tally.cases else 0


def _print(tally: Tally, seed: str, minutes: float) -> None:
    print(f"{tally.cases} cases in {minutes:g} minutes, seed {seed}: {dict(tally.outcomes)}")
    print(f"crashes, overruns, differences: {len(tally.bad)}")
    for line in tally.bad:
        print(f"  {line}")
    print(f"exceptions that ended as INCOMPLETE: {len(tally.faults)}")
    for fault, key in sorted(tally.faults.items()):
        print(f"  {fault}   first in {key}")


# --- one batch, in a child ---------------------------------------------------------------------------------------


def _begin(seed: str, number: int) -> tuple[int, int]:
    """Run a batch of cases in a child: its process id, and where its lines come from."""
    readable, writable = os.pipe()
    child = os.fork()
    if not child:
        os.close(readable)
        _child(seed, number, writable)
    os.close(writable)
    return child, readable


def _ended(seed: str, number: int, child: int, readable: int) -> list[str]:
    """The lines of a batch; the last one tells if its child did not come to its end."""
    with os.fdopen(readable, encoding="utf-8", errors="replace") as stream:
        lines = stream.read().splitlines()
    _, status = os.waitpid(child, 0)
    begun = [line.split("\t")[0] for line in lines if line.endswith("\tbegun")]
    lines = [line for line in lines if not line.endswith("\tbegun")]
    if status:
        code = os.waitstatus_to_exitcode(status)
        word = "overrun" if code == -signal.SIGXCPU else "crash"
        lines.append(f"{begun[-1] if begun else f'{seed}:{number * _BATCH}'}\t{word}\tthe child ended with {code}")
    return lines


def _child(seed: str, number: int, writable: int) -> None:
    status = 1
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        for index in range(number * _BATCH, (number + 1) * _BATCH):
            key = f"{seed}:{index}"
            spent = int(resource.getrusage(resource.RUSAGE_SELF).ru_utime) + 1
            resource.setrlimit(resource.RLIMIT_CPU, (spent + _CASE_SECONDS, resource.RLIM_INFINITY))
            os.write(writable, f"{key}\tbegun\n".encode())
            for line in _lines(key, twice=index % _TWICE == 0):
                os.write(writable, f"{line}\n".encode(errors="replace"))
        status = 0
    finally:
        os._exit(status)


def _lines(key: str, *, twice: bool) -> list[str]:
    job, archive = case(key)
    try:
        report = service.run(job, io.BytesIO(archive), _registry())
        again = service.run(job, io.BytesIO(archive), _registry()) if twice else report
        same = report_to_bytes(report) == report_to_bytes(again)
    except Exception as error:  # noqa: BLE001 -- whatever leaves the service is what is looked for
        return [f"{key}\tcrash\t{type(error).__name__}: {str(error)[:200]!r}"]
    lines = [f"{key}\t{report.outcome.value}"]
    if not same:
        lines.append(f"{key}\tdifference\ttwo runs gave two reports")
    for screened in report.screened:
        lines += [
            f"{key}\tfault\t{reason}"
            for reason in (screened.incomplete_reason or "").split("; ")
            if "failed:" in reason
        ]
    return lines


# --- cases -------------------------------------------------------------------------------------------------------


def case(key: str) -> tuple[Job, bytes]:
    """The job and archive of a key; the same every time."""
    chance = random.Random(key)  # noqa: S311 -- a case must come out the same again
    kind, example = chance.choice(_seeds())
    if example.members:
        example = _with_sources_changed(example, chance)
    job, archive = job_of(example, kind=kind, check="")
    if chance.random() < 0.6:
        archive = _changed_archive(archive, job.archive_format, chance)
    return replace(
        job, checks=None, with_release=True, with_project=True, with_summary=chance.random() < 0.2
    ), archive


@cache
def _registry() -> Registry:
    return Registry.load()


@cache
def _seeds() -> tuple[tuple[Kind, Example], ...]:
    registry = _registry()
    return tuple(
        (check.kind, example)
        for check in registry.all()
        for example in registry.page(check.name).examples
        if example.form in ("members", "archive", "names")
    )


def _with_sources_changed(example: Example, chance: random.Random) -> Example:
    members = list(example.members)
    if chance.random() < 0.3:
        members += chance.choice(_seeds())[1].members
    return replace(example, members=tuple((path, _changed_text(text, chance)) for path, text in members))


def _changed_text(text: str, chance: random.Random) -> str:
    for _ in range(chance.choice((0, 1, 1, 2, 4, 8))):
        text = chance.choice(_TEXT_CHANGES)(text, chance)[:_LONGEST_TEXT]
    # A lone surrogate cannot be packed as UTF-8, and stands for any byte that is no text.
    return text.encode("utf-8", "replace").decode()


def _token_of_another(text: str, chance: random.Random) -> str:
    other = chance.choice(_seeds())[1]
    words = " ".join(body for _, body in other.members).split() or ["pass"]
    return _put(text, chance, " ".join(chance.choices(words, k=chance.randint(1, 5))))


def _line_of_another(text: str, chance: random.Random) -> str:
    lines = [line for _, body in chance.choice(_seeds())[1].members for line in body.splitlines()] or ["pass"]
    own = text.splitlines()
    own.insert(chance.randint(0, len(own)), chance.choice(lines))
    return "\n".join(own)


def _nested(text: str, chance: random.Random) -> str:
    return _put(text, chance, chance.choice(_TALL) * chance.randint(1, _NESTING))


def _shaped(text: str, chance: random.Random) -> str:
    inner = text.splitlines()[0] if text else "x"
    return f"{text}\n{chance.choice(_SHAPES).format(inner)}\n"


def _put(text: str, chance: random.Random, new: str) -> str:
    at = chance.randint(0, len(text))
    return text[:at] + new + text[at:]


_TEXT_CHANGES: Sequence[Callable[[str, random.Random], str]] = (
    _token_of_another,
    _line_of_another,
    _nested,
    _shaped,
    lambda text, chance: _put(text, chance, chance.choice(_ODD)),
    lambda text, chance: text[: chance.randint(0, len(text))],
    lambda text, chance: text.replace(
        *chance.choice([("(", "(("), (")", ""), ("\n", "\n\n "), (" ", "\t"), ("=", "+=")])
    ),
    lambda text, chance: text * chance.randint(2, 20),
    lambda text, chance: _put(text, chance, "a" * chance.randint(1, 100_000)),
    lambda text, chance: _put(text, chance, repr(chance.randbytes(chance.randint(1, 2000)))),
)


def _changed_archive(archive: bytes, archive_format: str, chance: random.Random) -> bytes:
    if archive_format == "tar.gz" and chance.random() < 0.7:
        try:
            return gzip.compress(_changed_bytes(gzip.decompress(archive), chance), 1, mtime=0)
        except (OSError, EOFError, zlib.error):
            pass  # this example's archive is no gzip stream on purpose
    return _changed_bytes(archive, chance)


def _changed_bytes(data: bytes, chance: random.Random) -> bytes:
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        at, length = chance.randint(0, len(data)), chance.choice((1, 1, 2, 4, 16, 512))
        new = chance.choice(
            (
                b"",
                chance.randbytes(length),
                bytes(length),
                b"\xff" * length,
                data[at : at + length] * 2,
                data[-length:],
            )
        )
        data = data[:at] + new + data[at + chance.choice((0, length)) :]
    return data


if __name__ == "__main__":
    sys.exit(main())
