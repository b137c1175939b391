"""The forms in which `gatehouse screen` prints: text for people, JSON lines, SARIF 2.1.0.

What comes from a package is inert in each: text shows control characters as escapes, JSON escapes all that is
not ASCII.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TextIO

from gatehouse import __version__
from gatehouse.gate.screen_archives import ArchiveResult
from gatehouse.malware.model import Finding, Outcome, Tier
from gatehouse.malware.registry import Registry

Write = Callable[[ArchiveResult], None]
_SARIF_LEVELS = {
    Tier.NONE: "none",
    Tier.RANK: "note",
    Tier.QUEUE: "warning",
    Tier.ALERT: "error",
    Tier.HOLD: "error",
}
_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


@contextmanager
def text(out: TextIO) -> Iterator[Write]:
    """A line for each archive, and below it what was found."""

    def write(result: ArchiveResult) -> None:
        word = result.tier.word if result.outcome is Outcome.FLAGGED else result.outcome.value
        out.write(f"{word:<10} {printable(result.file)}  (score {result.score:.2f}, {result.seconds:.2f} s)\n")
        if result.incomplete_reason is not None:
            out.write(f"    INCOMPLETE, not clean: {printable(result.incomplete_reason)}\n")
        for number, finding in enumerate(result.findings):
            known = bool(result.new) and not result.new[number]
            out.write(_finding_text(finding, known=known))
        out.writelines(
            f"    not examined: {printable(item.member)}: {printable(item.reason)}\n"
            for item in result.not_examined
        )
        out.flush()

    yield write


@contextmanager
def jsonl(out: TextIO) -> Iterator[Write]:
    """One JSON object a file (the contract's `screen` object)."""

    def write(result: ArchiveResult) -> None:
        out.write(json.dumps(as_object(result), ensure_ascii=True) + "\n")
        out.flush()

    yield write


@contextmanager
def sarif(out: TextIO) -> Iterator[Write]:
    """One SARIF log for all archives, written at the end."""
    results: list[dict[str, Any]] = []
    notices: list[dict[str, Any]] = []

    def write(result: ArchiveResult) -> None:
        results.extend(_sarif_result(result, finding) for finding in result.findings)
        if result.incomplete_reason is not None:
            message = f"{result.file}: INCOMPLETE, not clean: {result.incomplete_reason}"
            notices.append({"level": "error", "message": {"text": message}})

    yield write
    rules = [
        {
            "id": check.name,
            "shortDescription": {"text": check.summary},
            "properties": {"version": check.version, "ceiling": check.ceiling.word},
        }
        for check in Registry.load().all()
    ]
    run = {
        "tool": {"driver": {"name": "gatehouse", "version": __version__, "rules": rules}},
        "invocations": [{"executionSuccessful": not notices, "toolExecutionNotifications": notices}],
        "results": results,
    }
    json.dump({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, out, ensure_ascii=True, indent=1)
    out.write("\n")


FORMATS: Mapping[str, Callable[[TextIO], AbstractContextManager[Write]]] = {
    "text": text,
    "jsonl": jsonl,
    "sarif": sarif,
}


def as_object(result: ArchiveResult) -> dict[str, Any]:
    """The contract's object for one file."""
    body: dict[str, Any] = {
        "file": result.file,
        "sha256": result.sha256,
        "outcome": result.outcome.value,
        "tier": result.tier.word,
        "score": round(result.score, 4),
        "findings": [_finding_object(finding) for finding in result.findings],
        "not_examined": [{"member": item.member, "reason": item.reason} for item in result.not_examined],
        "seconds": round(result.seconds, 3),
    }
    if result.incomplete_reason is not None:
        body["incomplete_reason"] = result.incomplete_reason
    for finding, new in zip(body["findings"], result.new, strict=False):
        finding["new"] = new
    return body


def printable(value: str) -> str:
    """A text with everything escaped that a terminal might act on."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in value)


def _finding_object(finding: Finding) -> dict[str, Any]:
    return {
        "check": finding.check,
        "version": finding.version,
        "message": finding.message,
        "member": finding.member,
        "line": finding.line,
        "context": finding.context.value,
        "chain": list(finding.chain),
        "excerpt": finding.excerpt,
        "classification": finding.classification.value,
        "confidence": finding.confidence.value,
    }


def _finding_text(finding: Finding, *, known: bool) -> str:
    place = finding.member or "-"
    if finding.line is not None:
        place += f":{finding.line}"
    lines = [f"    [{finding.check} v{finding.version}, {finding.confidence.value}] {printable(finding.message)}"]
    lines.append(f"      at {printable(place)} ({finding.context.value})" + (", as before" if known else ""))
    if finding.chain:
        lines.append("      " + printable(" -> ".join(finding.chain)))
    lines += [f"      | {printable(line)}" for line in finding.excerpt.splitlines()]
    return "\n".join(lines) + "\n"


def _sarif_result(result: ArchiveResult, finding: Finding) -> dict[str, Any]:
    location: dict[str, Any] = {"artifactLocation": {"uri": Path(result.file).as_posix()}}
    logical = {"fullyQualifiedName": finding.member or "", "kind": "member"}
    if finding.line is not None:
        location["region"] = {"startLine": finding.line, "snippet": {"text": finding.excerpt}}
    return {
        "ruleId": finding.check,
        "level": _SARIF_LEVELS[result.tier],
        "message": {"text": finding.message},
        "locations": [{"physicalLocation": location, "logicalLocations": [logical]}],
        "properties": {"context": finding.context.value, "chain": list(finding.chain), "tier": result.tier.word},
    }
