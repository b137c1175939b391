"""Text for people: what `gatehouse screen` prints unless another form is asked for.

What comes from a package is inert: control characters show as escapes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gatehouse.malware.difference import Changed, Difference
from gatehouse.malware.export.model import Exported
from gatehouse.malware.model import Finding, Outcome
from gatehouse.malware.weighing.features import by_check

#: Lines of each kind of news; the other forms have them all.
_SHOWN = 20


def text(results: Iterable[Exported]) -> Iterator[str]:
    """A line for each archive, and below it what was found."""
    for result in results:
        yield "".join(_lines(result))


def printable(value: str) -> str:
    """A text with everything escaped that a terminal might act on."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in value)


def _lines(result: Exported) -> Iterator[str]:
    word = result.tier.word if result.outcome is Outcome.FLAGGED else result.outcome.value
    yield f"{word:<10} {printable(result.file)}  (score {result.score:.2f}, {result.seconds:.2f} s)\n"
    if result.incomplete_reason is not None:
        yield f"    INCOMPLETE, not clean: {printable(result.incomplete_reason)}\n"
    if told := by_check(result.contributions):
        why = ", ".join(f"{what} +{weight:.1f}" for what, weight in told)
        yield f"    score: {printable(why)}\n"
    for number, finding in enumerate(result.findings):
        yield _finding(finding, known=bool(result.new) and not result.new[number])
    if result.difference is not None:
        yield from _difference(result.difference)
    for item in result.not_examined:
        yield f"    not examined: {printable(item.member)}: {printable(item.reason)}\n"


def _difference(new: Difference) -> Iterator[str]:
    parts = {
        "members": new.members,
        "changed": [_changed(each) for each in new.changed],
        "gone": new.removed,
        "calls": [f"{name} ({context})" for context, name in new.acts],
        "hosts": new.hosts,
        "dependencies": new.dependencies,
        "entry points": new.entry_points,
    }
    if any(parts.values()):
        doubt = "" if new.certain else ", which was not read whole"
        yield f"    new since {printable(new.previous)}{doubt}:\n"
    for what, items in parts.items():
        for item in items[:_SHOWN]:
            yield f"      {what}: {printable(item)}\n"
        if len(items) > _SHOWN:
            yield f"      {what}: {len(items) - _SHOWN} more\n"


def _changed(member: Changed) -> str:
    """How much is an estimate, and known of code alone."""
    if member.share >= 1:
        return member.path
    share = f"about {member.share:.0%}" if member.share else "few"
    return f"{member.path} ({share} of its lines)"


def _finding(finding: Finding, *, known: bool) -> str:
    place = finding.member or "the whole"
    if finding.line is not None:
        place += f":{finding.line}"
    lines = [f"    [{finding.check} v{finding.version}, {finding.confidence.value}] {printable(finding.message)}"]
    lines.append(f"      at {printable(place)} ({finding.context.value})" + (", as before" if known else ""))
    if finding.chain:
        lines.append("      " + printable(" -> ".join(finding.chain)))
    lines += [f"      | {printable(line)}" for line in finding.excerpt.splitlines()]
    return "\n".join(lines) + "\n"
