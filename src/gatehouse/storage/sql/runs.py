"""Runs over what the index holds, in SQL: implements `gate.ports.RunStore`.

A run over everything is handed out along the numbers of the files, so that it costs a row for each piece under
way and not one for each file; a sample is written down as pieces when it begins. Whoever hands out or finishes
holds the run's row, so counts and cursor only move forward; a piece's `attempts` fences whoever had it before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, delete, exists, func, or_, select, update
from sqlalchemy.orm import aliased

from gatehouse.catalog.model import FileState
from gatehouse.core.errors import LeaseLost
from gatehouse.gate.ports.checks import (
    Counts,
    NewRun,
    Piece,
    ReplayDifference,
    Run,
    RunKind,
    RunState,
)
from gatehouse.malware.model import Kind, Outcome, Screened, Subject
from gatehouse.storage.sql.models import (
    CheckDifferenceRow,
    CheckRunPieceRow,
    CheckRunRow,
    FileRow,
    ScreeningRow,
    SourceRow,
    SubjectRow,
)
from gatehouse.storage.sql.screening import SqlScreening, read_subject
from gatehouse.storage.sql.statements import insert

AnyRow: TypeAlias = Row[*tuple[Any, ...]]

_HELD_HERE = (FileState.ACCEPTED, FileState.PUBLISHED, FileState.HELD)
_STREAM = 5_000
#: How far back a subject's screenings are looked through for one that has a check's result.
_LOOK_BACK = 200


class SqlRuns:
    """Runs and their pieces, in one transaction."""

    def __init__(self, connection: Connection, *, source: str) -> None:
        self._connection = connection
        self._source = source

    def subjects(self, kind: Kind) -> Iterator[int]:
        """The numbers of the files that a run over all subjects of that kind looks at, in order."""
        after = 0
        while ids := self._files(kind, after=after, upto=None, limit=_STREAM):
            yield from ids
            after = ids[-1]

    def add(self, new: NewRun, *, files: Sequence[int] | None, piece: int, at: datetime) -> int:
        """Begin a run over these files, in pieces of so many; None: over all there are now. Its id."""
        upto = self._connection.execute(select(func.coalesce(func.max(FileRow.id), 0))).scalar_one()
        if files is None:
            total = self._connection.execute(
                select(func.count()).where(*self._eligible(new.subjects))
            ).scalar_one()
        else:
            total = len(files)
        run_id: int = self._connection.execute(
            insert(self._connection, CheckRunRow)
            .values(
                kind=new.kind,
                check=new.check,
                version=int(new.version),
                against=None if new.against is None else int(new.against),
                subjects=new.subjects.value,
                state=RunState.RUNNING if total else RunState.FINISHED,
                actor=new.actor,
                reason=new.reason,
                created_at=at,
                ended_at=None if total else at,
                sample=new.sample,
                seed=new.seed,
                total=total,
                upto=upto,
                cursor=0 if files is None else upto,
                counts=asdict(Counts()),
            )
            .returning(CheckRunRow.id)
        ).scalar_one()
        rest = iter(files or ())
        while ids := list(islice(rest, piece)):
            self._add_piece(run_id, ids, leased_until=None, attempts=0)
        return run_id

    def get(self, run_id: int) -> Run | None:
        """A run."""
        row = self._connection.execute(_runs().where(CheckRunRow.id == run_id)).one_or_none()
        return None if row is None else _run(row)

    def recent(self, *, limit: int, check: str | None = None) -> list[Run]:
        """The newest runs first."""
        query = _runs().order_by(CheckRunRow.id.desc()).limit(limit)
        if check is not None:
            query = query.where(CheckRunRow.check == check)
        return [_run(row) for row in self._connection.execute(query)]

    def set_state(self, run_id: int, state: RunState, *, at: datetime) -> None:
        """Pause, resume or cancel. A cancelled run loses its pieces."""
        self._connection.execute(
            update(CheckRunRow)
            .where(CheckRunRow.id == run_id)
            .values(state=state, ended_at=at if state.is_over else None)
        )
        if state.is_over:
            self._connection.execute(delete(CheckRunPieceRow).where(CheckRunPieceRow.run_id == run_id))

    # --- pieces --------------------------------------------------------------------------------------------------

    def claim(self, *, run_id: int | None, piece: int, now: datetime, lease: timedelta) -> Piece | None:
        """Take a piece of a run (of any that is running, the oldest first); None if there is none to take."""
        query = select(CheckRunRow.id).where(CheckRunRow.state == RunState.RUNNING).order_by(CheckRunRow.id)
        if run_id is not None:
            query = query.where(CheckRunRow.id == run_id)
        for running in self._connection.execute(query).scalars().all():
            claimed = self._waiting(running, now, lease) or self._next(running, piece, now, lease)
            if claimed is not None:
                return claimed
        return None

    def _waiting(self, run_id: int, now: datetime, lease: timedelta) -> Piece | None:
        """A piece of a sample, or one that its worker never finished."""
        row = self._connection.execute(
            select(CheckRunPieceRow.__table__)
            .where(
                CheckRunPieceRow.run_id == run_id,
                or_(CheckRunPieceRow.leased_until.is_(None), CheckRunPieceRow.leased_until <= now),
            )
            .order_by(CheckRunPieceRow.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        ).one_or_none()
        run = None if row is None else self.get(run_id)
        if row is None or run is None or run.state is not RunState.RUNNING:
            return None
        attempts = row.attempts + 1
        self._connection.execute(
            update(CheckRunPieceRow)
            .where(CheckRunPieceRow.id == row.id)
            .values(leased_until=now + lease, attempts=attempts)
        )
        return Piece(id=row.id, run=run, files=tuple(row.files), attempts=attempts)

    def _next(self, run_id: int, size: int, now: datetime, lease: timedelta) -> Piece | None:
        """The next files that nobody has had."""
        row = self._locked(run_id)
        if row.state != RunState.RUNNING or row.cursor >= row.upto:
            return None
        ids = self._files(Kind(row.subjects), after=row.cursor, upto=row.upto, limit=size)
        self._connection.execute(
            update(CheckRunRow).where(CheckRunRow.id == run_id).values(cursor=ids[-1] if ids else row.upto)
        )
        if not ids:
            self._end_if_done(run_id, now)
            return None
        piece_id = self._add_piece(run_id, ids, leased_until=now + lease, attempts=1)
        return Piece(id=piece_id, run=_run(row), files=tuple(ids), attempts=1)

    def unclaim(self) -> None:
        """Let go of every piece."""
        self._connection.execute(
            update(CheckRunPieceRow).where(CheckRunPieceRow.leased_until.is_not(None)).values(leased_until=None)
        )

    def finish(self, piece: Piece, counts: Counts, *, at: datetime) -> Run:
        """A piece is done: its counts are added, and the run is finished if it was the last. The run after it.

        Raises:
            LeaseLost: another worker has the piece, or the run was cancelled: nothing of it may be stored.
        """
        row = self._locked(piece.run.id)
        gone = self._connection.execute(
            delete(CheckRunPieceRow).where(
                CheckRunPieceRow.id == piece.id, CheckRunPieceRow.attempts == piece.attempts
            )
        )
        if gone.rowcount != 1:
            raise LeaseLost(f"A piece of run {piece.run.id} is no longer this worker's.")
        so_far = asdict(_counts(row.counts))
        added = {name: so_far[name] + value for name, value in asdict(counts).items()}
        self._connection.execute(update(CheckRunRow).where(CheckRunRow.id == row.id).values(counts=added))
        self._end_if_done(row.id, at)
        run = self.get(row.id)
        if run is None:
            raise LeaseLost(f"Run {row.id} is gone.")
        return run

    def release(self, piece: Piece, *, retry_at: datetime) -> None:
        """Give a piece back unfinished; it can be taken again from then on."""
        self._connection.execute(
            update(CheckRunPieceRow)
            .where(CheckRunPieceRow.id == piece.id, CheckRunPieceRow.attempts == piece.attempts)
            .values(leased_until=retry_at)
        )

    def _end_if_done(self, run_id: int, at: datetime) -> None:
        under_way = exists().where(CheckRunPieceRow.run_id == run_id)
        self._connection.execute(
            update(CheckRunRow)
            .where(
                CheckRunRow.id == run_id,
                CheckRunRow.cursor >= CheckRunRow.upto,
                CheckRunRow.state.in_((RunState.RUNNING, RunState.PAUSED)),
                ~under_way,
            )
            .values(state=RunState.FINISHED, ended_at=at)
        )

    def _locked(self, run_id: int) -> AnyRow:
        return self._connection.execute(_runs().where(CheckRunRow.id == run_id).with_for_update()).one()

    def _add_piece(self, run_id: int, ids: Sequence[int], *, leased_until: datetime | None, attempts: int) -> int:
        piece_id: int = self._connection.execute(
            insert(self._connection, CheckRunPieceRow)
            .values(run_id=run_id, files=[*ids], attempts=attempts, leased_until=leased_until)
            .returning(CheckRunPieceRow.id)
        ).scalar_one()
        return piece_id

    # --- which files ---------------------------------------------------------------------------------------------

    def _files(self, kind: Kind, *, after: int, upto: int | None, limit: int) -> Sequence[int]:
        query = select(FileRow.id).where(FileRow.id > after, *self._eligible(kind))
        if upto is not None:
            query = query.where(FileRow.id <= upto)
        return self._connection.execute(query.order_by(FileRow.id).limit(limit)).scalars().all()

    def _eligible(self, kind: Kind) -> tuple[ColumnElement[bool], ...]:
        source = select(SourceRow.id).where(SourceRow.name == self._source).scalar_subquery()
        here = (FileRow.source_id == source, FileRow.external_url.is_(None), FileRow.state.in_(_HELD_HERE))
        if kind is Kind.FILE:
            return here
        # A release or project is looked at with the first of its files that is here.
        other = aliased(FileRow)
        same = (
            other.release_id == FileRow.release_id
            if kind is Kind.RELEASE
            else other.project_id == FileRow.project_id
        )
        earlier = exists().where(
            and_(same, other.id < FileRow.id, other.external_url.is_(None), other.state.in_(_HELD_HERE))
        )
        return (*here, ~earlier)

    # --- comparing -----------------------------------------------------------------------------------------------

    def add_difference(self, run_id: int, subject_id: int, difference: ReplayDifference) -> None:
        """A replay came to something else on a subject."""
        self._connection.execute(
            insert(self._connection, CheckDifferenceRow).values(
                run_id=run_id,
                subject_id=subject_id,
                gained=[list(each) for each in difference.gained],
                lost=[list(each) for each in difference.lost],
            )
        )

    def differences(self, run_id: int, *, limit: int) -> list[ReplayDifference]:
        """The first differences that a replay found."""
        rows = self._connection.execute(
            select(SubjectRow.__table__, CheckDifferenceRow.gained, CheckDifferenceRow.lost)
            .join(CheckDifferenceRow, CheckDifferenceRow.subject_id == SubjectRow.id)
            .where(CheckDifferenceRow.run_id == run_id)
            .order_by(CheckDifferenceRow.id)
            .limit(limit)
        )
        return [
            ReplayDifference(
                subject=read_subject(row),
                gained=tuple((message, member) for message, member in row.gained),
                lost=tuple((message, member) for message, member in row.lost),
            )
            for row in rows
        ]

    def stored_result(self, subject: Subject, check: str, version: str) -> Screened | None:
        """The newest complete screening of a subject in which that version of the check ran; None without one."""
        screening = SqlScreening(self._connection)
        rows = self._connection.execute(
            select(ScreeningRow.id, ScreeningRow.checks)
            .where(
                ScreeningRow.subject_id == screening.subject_id(subject),
                ScreeningRow.outcome != Outcome.INCOMPLETE,
            )
            .order_by(ScreeningRow.id.desc())
            .limit(_LOOK_BACK)
        )
        for row in rows:
            if [check, version] in row.checks:
                return screening.get(row.id).screened
        return None


def _runs() -> Select[*tuple[Any, ...]]:
    return select(CheckRunRow.__table__)


def _counts(stored: dict[str, Any]) -> Counts:
    known = {field.name for field in fields(Counts)}
    return Counts(**{name: value for name, value in stored.items() if name in known})


def _run(row: AnyRow) -> Run:
    return Run(
        id=row.id,
        new=NewRun(
            kind=RunKind(row.kind),
            check=row.check,
            version=str(row.version),
            subjects=Kind(row.subjects),
            actor=row.actor,
            reason=row.reason,
            against=None if row.against is None else str(row.against),
            sample=row.sample,
            seed=row.seed,
        ),
        state=RunState(row.state),
        created_at=row.created_at,
        ended_at=row.ended_at,
        total=row.total,
        counts=_counts(row.counts),
    )
