"""Tables inside of pages that people write: rendered from the code, compared and rewritten in their place.

A table stands between `<!-- table: NAME, written by make docs -->` and `<!-- end of table -->`. What lies between
is the code's; all around it is the author's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from gatehouse.catalog.model import FileState
from gatehouse.gate.decide import MOVES, possible_actions
from gatehouse.gate.policy import WhenScreeningFails, state_after
from gatehouse.gate.ports import Action
from gatehouse.malware import policy
from gatehouse.malware.model import Confidence, Context, Outcome, Tier
from gatehouse.malware.mutations import MUTATIONS
from gatehouse.malware.unpack.unpack import DEFAULT as UNPACKING
from gatehouse.malware.weighing.model import BELIEVED
from gatehouse.sandbox.model import SandboxLimits
from gatehouse.web.admin.words import ACTIONS, CONTEXTS, STATES, TIERS

_PLACE = re.compile(
    r"(?P<begin><!-- table: (?P<name>[a-z-]+), written by make docs -->\n).*?(?P<end><!-- end of table -->)",
    re.DOTALL,
)
_ADRS = Path(__file__).parents[1] / "docs" / "adr"
_UNITS = (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def decisions() -> str:
    """What each action makes of a file in each state, from `gate.decide.MOVES`."""

    def cell(state: FileState, action: Action) -> str:
        leaving, to = MOVES[action]
        if action not in possible_actions([state]):
            return "no"
        if state not in leaving:
            return f"recorded, stays {state.value}"
        return f"stays {to.value}" if state is to else f"becomes {to.value}"

    return _table(
        ["a file that is", *(ACTIONS[action][0] for action in MOVES)],
        ([STATES[state], *(cell(state, action) for action in MOVES)] for state in FileState),
    )


def tiers() -> str:
    """The tier of a finding by its confidence and its check's ceiling, from `malware.policy`."""
    return _table(
        ["confidence", "evidence before training", *(f"ceiling {ceiling.word}" for ceiling in Tier)],
        (
            [
                confidence.value,
                f"{BELIEVED[confidence]}",
                *(policy.tier_of(confidence, ceiling=ceiling).word for ceiling in Tier),
            ]
            for confidence in Confidence
        ),
    )


def tier_words() -> str:
    """What each tier means, as the desk says it."""
    return _table(["tier", "what it means"], ([f"**{tier.word}**", TIERS[tier]] for tier in reversed(Tier)))


def outcomes() -> str:
    """What becomes of a file when its screening has ended for good, from `gate.policy`."""
    return _table(
        ["its screening", "highest tier", *(f"with `{choice.value}`" for choice in WhenScreeningFails)],
        (
            [
                outcome.value,
                words,
                *(state_after(outcome, tier, choice).value for choice in WhenScreeningFails),
            ]
            for outcome, tier, words in (
                (Outcome.CLEAN, Tier.NONE, "none"),
                (Outcome.FLAGGED, Tier.ALERT, "rank, queue or alert"),
                (Outcome.FLAGGED, Tier.HOLD, "hold"),
                (Outcome.INCOMPLETE, Tier.ALERT, "below hold"),
                (Outcome.INCOMPLETE, Tier.HOLD, "hold"),
            )
        ),
    )


def contexts() -> str:
    """When code runs, the most dangerous first."""
    return _table(["context", "what it means"], ([f"`{context.value}`", CONTEXTS[context]] for context in Context))


def limits() -> str:
    """What one screening may cost, from the defaults of unpacking and of the sandbox."""
    child = SandboxLimits()
    return _table(
        ["limit", "default"],
        [
            ["wall clock (`GATEHOUSE_SCREENING_SECONDS`)", f"{child.seconds:g} s"],
            ["processor time", f"{child.cpu_seconds} s"],
            ["memory above the zygote's own", _bytes(child.memory)],
            ["the answer", _bytes(child.answer)],
            ["members of an archive", f"{UNPACKING.members:,}"],
            ["all that unpacking gives", _bytes(UNPACKING.unpacked)],
            [
                "unpacked bytes for each byte of the archive",
                f"{UNPACKING.ratio}, once more than {_bytes(UNPACKING.ratio_floor)} came out",
            ],
            ["one member", _bytes(UNPACKING.member)],
            ["of one member, kept for checks", _bytes(UNPACKING.kept)],
            ["of all members, kept for checks", _bytes(UNPACKING.kept_all)],
            ["one name, all names", f"{_bytes(UNPACKING.name)}, {_bytes(UNPACKING.names)}"],
            ["folders in one name", f"{UNPACKING.depth}"],
        ],
    )


def _bytes(value: int) -> str:
    for unit, size in _UNITS:
        if value >= size and value % size == 0:
            return f"{value // size} {unit}"
    return f"{value} bytes"


def mutations() -> str:
    """What `checks test` does to the examples of pages, from `malware.mutations`."""
    return _table(
        ["mutation", "what it does", "clean examples too"],
        (
            [f"`{mutation.name}`", mutation.summary, "no, it hides something" if mutation.hides else "yes"]
            for mutation in MUTATIONS.values()
        ),
    )


def adrs() -> str:
    """The decisions, from the first lines of their pages."""
    rows = []
    for page in sorted(_ADRS.glob("[0-9]*.md")):
        title, _, standing = page.read_text(encoding="utf-8").split("\n", 3)[:3]
        number, _, decision = title.removeprefix("# ").partition(". ")
        status = standing.removeprefix("Status: ").partition(" \N{MIDDLE DOT}")[0]
        if page != _ADRS / "0000-template.md":
            rows.append([number, f"[{decision}]({page.name})", status])
    return _table(["number", "decision", "status"], rows)


TABLES: Mapping[str, Callable[[], str]] = {
    "adrs": adrs,
    "mutations": mutations,
    "decisions": decisions,
    "tiers": tiers,
    "tier-words": tier_words,
    "outcomes": outcomes,
    "contexts": contexts,
    "limits": limits,
}
#: The pages that hold tables.
PAGES = (
    "docs/adr/README.md",
    "docs/how-to/settle-a-verdict.md",
    "docs/how-to/write-a-check.md",
    "docs/explanation/what-screening-promises.md",
)


def filled(text: str) -> str:
    """A page with its tables as the code has them now.

    Raises:
        KeyError: it asks for a table that there is not.
    """
    return _PLACE.sub(lambda found: f"{found['begin']}{TABLES[found['name']]()}{found['end']}", text)


def pages(root: Path) -> dict[str, str]:
    """Every page with tables, as it should be, by its path in the repository; a page that is gone is left out."""
    return {name: filled((root / name).read_text(encoding="utf-8")) for name in PAGES if (root / name).is_file()}
