"""What the laws found: a tally a law, and the first violations of each in a sentence."""

from __future__ import annotations

from dataclasses import dataclass, field

#: Of each law, so many violations are kept in words; the others are counted.
KEPT = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Violation:
    """A law that did not hold: where, and what the client said. Both may quote what the repository served."""

    law: str
    where: str
    said: str


@dataclass(kw_only=True, slots=True)
class Tally:
    """What became of a law.

    Attributes:
        law: its name.
        sentence: what it demands.
        cases: how many there are in the recording.
        tried: how many of them were tried; fewer where a sample was asked for.
        plays: the sessions judged for it.
        transient: how many of those ended in a refusal that the law allows and a retry healed.
        failed: how many broke the law.
        violations: the first of those.
    """

    law: str
    sentence: str
    cases: int = 0
    tried: int = 0
    plays: int = 0
    transient: int = 0
    failed: int = 0
    violations: list[Violation] = field(default_factory=list)

    def fail(self, where: str, said: str) -> None:
        """Count a violation, and keep it if it is among the first."""
        self.failed += 1
        if len(self.violations) < KEPT:
            self.violations.append(Violation(law=self.law, where=where, said=said))


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """The outcome of the suite. `states` of the recording, `sessions` that python-tuf ran (others were known)."""

    tallies: tuple[Tally, ...]
    states: int
    sessions: int

    @property
    def plays(self) -> int:
        """All sessions judged."""
        return sum(tally.plays for tally in self.tallies)

    @property
    def failed(self) -> int:
        """All violations."""
        return sum(tally.failed for tally in self.tallies)

    @property
    def violations(self) -> list[Violation]:
        """The violations kept in words, law by law."""
        return [violation for tally in self.tallies for violation in tally.violations]

    def tally(self, law: str) -> Tally:
        """The tally of a law; KeyError if it was not tried."""
        for tally in self.tallies:
            if tally.law == law:
                return tally
        raise KeyError(law)
