"""The story of an export: what was found and decided so far, read in pieces, oldest first.

Each piece is a transaction of its own, so that an export of years holds up nobody. Rows are only ever added, so
nothing that was there when it began is missed, and nothing comes twice; what is added meanwhile may come or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from gatehouse.gate.ports import Action, Database, Decision
from gatehouse.malware.export.model import Exported
from gatehouse.malware.export.osv import Malicious
from gatehouse.malware.model import Classification, Finding, Screened

_PIECE = 200
#: What takes a removal back.
_BACK = frozenset({Action.RESTORE, Action.LET_THROUGH})


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportVerdicts:
    """Reads what is exported. Safe to use from many threads."""

    database: Database

    def screenings(
        self, *, since: datetime | None = None, shadow: bool = False, kind: Classification | None = None
    ) -> Iterator[Exported]:
        """Every screening with its findings and verdicts.

        Args:
            since: only those that ended at that moment or after.
            shadow: whether those in the shadow come too, which alarmed nobody.
            kind: only those with findings of that kind, and of their findings and verdicts only such.
        """
        last = 0
        if since is not None:
            with self.database.read() as transaction:
                last = transaction.screening.last_before(since)
        while True:
            with self.database.read() as transaction:
                records = transaction.screening.after(last, limit=_PIECE)
            if not records:
                return
            last = records[-1].id
            for record in records:
                screened = record.screened if kind is None else _only_of(record.screened, kind)
                if kind is not None and not screened.findings:
                    continue
                if (since is None or record.finished_at >= since) and (shadow or not record.shadow):
                    more = {
                        "screening": record.id,
                        "at": record.finished_at.isoformat(),
                        "trigger": record.trigger,
                        "attempt": record.attempt,
                        "shadow": record.shadow,
                        "engine_version": record.screened.engine_version,
                        "checks": [list(check) for check in record.screened.checks],
                    }
                    yield Exported.of_screened(screened, more=more)

    def malicious(self, *, since: datetime | None = None) -> Iterator[Malicious]:
        """Every subject that a person removed as harmful, also if that was taken back.

        Args:
            since: only those of which anything was decided at that moment or after.
        """
        last = 0
        while True:
            with self.database.read() as transaction:
                judged = transaction.screening.judged(Action.REMOVE, after=last, limit=_PIECE)
                pieces = [
                    (decisions, transaction.screening.latest(decisions[0].subject)) for _, decisions in judged
                ]
            if not judged:
                return
            last = judged[-1][0]
            for decisions, record in pieces:
                if since is None or decisions[-1].at >= since:
                    yield _malicious(decisions, () if record is None else record.screened.findings)


def _only_of(screened: Screened, kind: Classification) -> Screened:
    return replace(
        screened,
        findings=tuple(finding for finding in screened.findings if finding.classification is kind),
        verdicts=tuple(verdict for verdict in screened.verdicts if verdict.classification is kind),
    )


def _malicious(decisions: list[Decision], findings: tuple[Finding, ...]) -> Malicious:
    removed = [decision for decision in decisions if decision.action is Action.REMOVE]
    back = [each for each in decisions if each.action in _BACK and each.at >= removed[-1].at]
    return Malicious(
        subject=removed[0].subject,
        since=removed[0].at,
        changed=decisions[-1].at,
        reviewed=True,
        reason=removed[-1].reason,
        findings=findings,
        withdrawn=back[-1].at if back else None,
    )
