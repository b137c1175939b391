"""The publisher at PyPI's scale: what an import, a first build, a burst and a single change cost.

    .venv/bin/python -m bench.publisher --targets 15m --database sqlite --home /var/tmp/gatehouse-bench
    .venv/bin/python -m bench.publisher --table --home /var/tmp/gatehouse-bench

The repository is loaded once and kept in the folder for later rounds (`--clean` removes it). The publisher runs as
in production, in a process of its own; this one writes to the journal as uploads do, rings, and reads the moments
that the server itself recorded: t2, the change is in the journal; t3, the timestamp has moved. Beside the burst
stands the limit, measured in the same run over the same bins (`bench.publisher_limit`).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bench.postgres_server import kept_postgres
from bench.publisher_index import MadeUpIndex
from bench.publisher_limit import Limit, spliced_bytes
from bench.publisher_process import Publishing, publishing
from sqlalchemy import func, select, text

from gatehouse.gate.trust import Trust
from gatehouse.storage.sql.database import SqlDatabase
from gatehouse.storage.sql.models import PublicationRow
from gatehouse.tuf.bins import BinLayout
from gatehouse.tuf.model import Family, Target, TargetChange

_SINGLES = 120
_PER_SECOND, _SECONDS = 50, 20
_TAKEOVERS, _KILLED_AMID = 5, 2000


def main() -> None:
    """Measure, print, and keep the figures."""
    options = _options()
    if options.table:
        _print_table(options.home)
        return
    base = options.home / f"{options.targets}-{options.database}"
    if options.clean:
        shutil.rmtree(base, ignore_errors=True)
        return
    base.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        server = kept_postgres(base / "postgres") if options.database == "postgres" else nullcontext("")
        bench = Bench(index=MadeUpIndex.parse(options.targets), base=base, url=stack.enter_context(server))
        _keep(base, bench.load())
        if options.build:
            _keep(base, bench.build_anew())
        figures = _keep(base, bench.rounds(changes=options.changes))
    for name, value in figures.items():
        print(f"{name:<44} {value:>14,.1f}")


def _keep(base: Path, figures: Mapping[str, float]) -> dict[str, float]:
    """Keep figures beside those of earlier runs; all of them."""
    kept = base / "figures.json"
    known: dict[str, float] = json.loads(kept.read_text()) if kept.exists() else {}
    known |= figures
    kept.write_text(json.dumps(known, indent=1))
    return known


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--targets", default="1m", help="how many files, as 10k, 1m or 15m")
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--home", type=Path, default=Path("/var/tmp/gatehouse-bench"))  # noqa: S108 -- a default on a disk
    parser.add_argument("--changes", type=int, default=6000, help="how many changes are in a burst")
    parser.add_argument("--build", action="store_true", help="also build all bins from the database anew")
    parser.add_argument("--clean", action="store_true", help="remove what was kept")
    parser.add_argument("--table", action="store_true", help="print all figures in that home side by side")
    return parser.parse_args()


class Bench:
    """One repository on one database, and the rounds over it."""

    def __init__(self, *, index: MadeUpIndex, base: Path, url: str) -> None:
        self.index = index
        self.base = base
        self.home = base / "home"
        self.url = url or f"sqlite:///{self.home.absolute() / 'gatehouse.db'}"
        given = {"GATEHOUSE_HOME": str(self.home), "GATEHOUSE_DATABASE_URL": url, "GATEHOUSE_LOG_LEVEL": "warning"}
        self.environment = {**os.environ, **{name: value for name, value in given.items() if value}}
        self.chance = random.Random()  # noqa: S311 -- other changes each time, no secrets

    # --- loading -------------------------------------------------------------------------------------------------

    def load(self) -> dict[str, float]:
        """Import all targets and build all bins, if that was not done."""
        done = self.base / "loaded"
        if done.exists():
            # It may have been loaded by an earlier version.
            self._gatehouse("migrate")
            return {}
        figures: dict[str, float] = {"files": self.index.files, "rows": self.index.rows}
        simple, files = (self.index.layout.count(family) for family in Family)
        self._gatehouse("init", "--simple-bins", str(simple), "--files-bins", str(files))
        targets = self.base / "targets.csv"
        self.index.write(targets)
        seconds, cpu = self._gatehouse("tuf", "import-targets", str(targets))
        targets.unlink()
        figures |= {"import: rows/s": self.index.rows / seconds, "import: CPU s": cpu}
        figures |= self._build()
        done.touch()
        return figures

    def build_anew(self) -> dict[str, float]:
        """Delete what no client needs any more; then render and sign every bin from its rows again."""
        frugal = {"GATEHOUSE_METADATA_GRACE": "0s", "GATEHOUSE_METADATA_SNAPSHOTS": "1"}
        seconds, cpu = self._gatehouse("tuf", "gc", more=frugal)
        with self._database() as database, database.write() as transaction:
            transaction.signing.mark_dirty(list(self.index.layout.refs()))
        return {"clean-up: wall s": seconds, "clean-up: CPU s": cpu} | self._build()

    def _build(self) -> dict[str, float]:
        """Let a publisher make all bins that wait to be rendered."""
        with self._database() as database, publishing(self.environment) as publisher:
            # From its first moment on: what it reads to begin is part of it.
            began = time.monotonic()
            while self._waiting(database):
                time.sleep(0.1)
            return {
                "build: CPU s": publisher.cpu(),
                "build: wall s": time.monotonic() - began,
                "build: peak MB": publisher.peak(),
            }

    def _gatehouse(self, *words: str, more: Mapping[str, str] = MappingProxyType({})) -> tuple[float, float]:
        """Run a command; its seconds on the clock and of CPU."""
        began, before = time.monotonic(), os.times()
        command = [sys.executable, "-m", "gatehouse", *words]
        subprocess.run(command, env={**self.environment, **more}, check=True, stdout=subprocess.DEVNULL)
        after = os.times()
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        return time.monotonic() - began, cpu

    # --- rounds --------------------------------------------------------------------------------------------------

    def rounds(self, *, changes: int) -> dict[str, float]:
        """Everything that is measured over a loaded repository."""
        with self._database() as database, publishing(self.environment) as publisher:
            self._settle(database)
            # A publisher's first publication is always judged; when a burst comes, that is behind.
            self._append(database, next(self.index.uploads(self.chance)))
            publisher.ring()
            self._until_published(database)
            # What others do on the machine: beyond its processors, and the figures are theirs too.
            figures = {"load average before": os.getloadavg()[0]}
            figures |= self._burst(database, publisher, changes, "files")
            limit = self._limit(database, changes)
            figures |= {
                "limit: changes/s": limit.changes / limit.wall,
                "limit: CPU ms a change": limit.cpu * 1e3 / limit.changes,
                "limit: kB a bin": limit.size / limit.bins / 1e3,
            }
            figures["burst of files: % of the limit"] = (
                100 * figures["burst of files: changes/s"] / figures["limit: changes/s"]
            )
            figures |= self._burst(database, publisher, changes, "uploads")
            figures |= self._singles(database, publisher)
            figures |= self._steady(database, publisher)
            figures["publisher: peak MB"] = publisher.peak()
        with self._database() as database:
            return figures | self._takeovers(database)

    def _burst(self, database: SqlDatabase, publisher: Publishing, count: int, kind: str) -> dict[str, float]:
        """Many changes at once: how many a second, from the journal to the moved timestamp."""
        if kind == "files":
            files = self.index.changes(self.chance)
            changes = [next(files) for _ in range(count)]
        else:
            uploads = self.index.uploads(self.chance)
            changes = [change for _ in range(count // 3) for change in next(uploads)]
        before, first = publisher.cpu(), self._last(database)
        self._append(database, changes)
        publisher.ring()
        self._until_published(database)
        cpu = publisher.cpu() - before
        delays = self._delays(database, first)
        name = f"burst of {kind}"
        return {
            f"{name}: changes/s": len(changes) / (max(delays) / 1e3),
            f"{name}: CPU ms a change": cpu * 1e3 / len(changes),
        }

    def _singles(self, database: SqlDatabase, publisher: Publishing) -> dict[str, float]:
        """One upload after another on an idle system."""
        uploads = self.index.uploads(self.chance)
        before, first = publisher.cpu(), self._last(database)
        for _ in range(_SINGLES):
            self._append(database, next(uploads))
            publisher.ring()
            self._until_published(database, pause=0.01)
            time.sleep(0.1)
        figures = _quantiles("single upload", self._delays(database, first))
        return figures | {"single upload: CPU ms": (publisher.cpu() - before) * 1e3 / _SINGLES}

    def _steady(self, database: SqlDatabase, publisher: Publishing) -> dict[str, float]:
        """Uploads at a steady pace."""
        uploads = self.index.uploads(self.chance)
        before, first = publisher.cpu(), self._last(database)
        began = time.monotonic()
        for number in range(_PER_SECOND * _SECONDS):
            time.sleep(max(0.0, began + number / _PER_SECOND - time.monotonic()))
            self._append(database, next(uploads))
            publisher.ring()
        seconds = time.monotonic() - began
        self._until_published(database)
        name = f"{_PER_SECOND} uploads/s"
        return _quantiles(name, self._delays(database, first)) | {
            f"{name}: reached": _PER_SECOND * _SECONDS / seconds,
            f"{name}: CPU %": 100 * (publisher.cpu() - before) / seconds,
        }

    def _takeovers(self, database: SqlDatabase) -> dict[str, float]:
        """A publisher is killed amid a burst: how long until the one that stood by moves the timestamp."""
        seconds: list[float] = []
        files = self.index.changes(self.chance)
        with ExitStack() as stack:
            holder = stack.enter_context(publishing(self.environment))
            self._settle(database)
            for _ in range(_TAKEOVERS):
                standby = stack.enter_context(publishing(self.environment, "--standby"))
                self._append(database, [next(files) for _ in range(_KILLED_AMID)])
                holder.ring()
                # Anywhere between the first change that is read and the last timestamp.
                time.sleep(self.chance.uniform(0.05, 2.0))
                holder.kill()
                killed = datetime.now(UTC)
                self._append(database, [next(files)])
                self._until_published(database)
                seconds.append(self._first_published(database, killed))
                holder = standby
        return {"takeover: s, median": statistics.median(seconds), "takeover: s, longest": max(seconds)}

    def _limit(self, database: SqlDatabase, count: int) -> Limit:
        """The limit over the bins of the last publications, as they are now."""
        layout = self._layout(database)
        groups: dict[int, dict[Path, dict[str, Target | None]]] = {}
        folder = self.home / "tuf" / "metadata"
        with database.read() as transaction:
            roles = transaction.signing.online_roles()
            publication = transaction.signing.last_publication()
            found = 0
            while publication is not None and found < count:
                entries = transaction.journal.taken_by(publication.id - len(groups))
                group = groups.setdefault(publication.id - len(groups), {})
                for entry in entries:
                    role = roles[layout.role_name(entry.bin)]
                    path = folder / f"{role.version}.{role.name}.json"
                    group.setdefault(path, {})[entry.change.path] = entry.change.target
                found += len(entries)
        return spliced_bytes(list(groups.values()), self.base / "limit")

    # --- parts ---------------------------------------------------------------------------------------------------

    @contextmanager
    def _database(self) -> Iterator[SqlDatabase]:
        database = SqlDatabase(self.url)
        yield database
        database.close()

    def _layout(self, database: SqlDatabase) -> BinLayout:
        with database.read() as transaction:
            return Trust().state(transaction).layout

    def _append(self, database: SqlDatabase, changes: Sequence[TargetChange]) -> None:
        layout = self.index.layout
        with database.write() as transaction:
            rows = [(layout.bin_of(change.path), change) for change in changes]
            transaction.journal.append(rows, at=datetime.now(UTC))

    def _last(self, database: SqlDatabase) -> int:
        return int(_scalar(database, "SELECT coalesce(max(id), 0) FROM journal"))

    def _waiting(self, database: SqlDatabase) -> bool:
        with database.read() as transaction:
            signing = transaction.signing
            return bool(signing.dirty_bins(limit=1)) or signing.unpublished() is not None

    def _until_published(self, database: SqlDatabase, *, pause: float = 0.05) -> None:
        while True:
            with database.read() as transaction:
                if not transaction.journal.pending(limit=1) and transaction.signing.unpublished() is None:
                    return
            time.sleep(pause)

    def _settle(self, database: SqlDatabase) -> None:
        """Wait for what a publisher catches up with when it starts."""
        last, since = 0, time.monotonic()
        while time.monotonic() - since < 3:
            newest = int(_scalar(database, "SELECT coalesce(max(id), 0) FROM publications"))
            if newest != last:
                last, since = newest, time.monotonic()
            time.sleep(0.2)

    def _first_published(self, database: SqlDatabase, after: datetime) -> float:
        """How long after a moment the first publication was published, in seconds."""
        query = select(func.min(PublicationRow.published_at)).where(PublicationRow.published_at > after)
        with database.engine.connect() as connection:
            moment = connection.execute(query).scalar_one()
        assert moment is not None
        return (moment - after).total_seconds()

    def _delays(self, database: SqlDatabase, after: int) -> list[float]:
        """t3 - t2 of every change since, in milliseconds."""
        if database.engine.dialect.name == "postgresql":
            delay = "extract(epoch FROM publications.published_at - journal.at) * 1000"
        else:
            delay = "(publications.published_at - journal.at) / 1000.0"
        query = (
            f"SELECT {delay} FROM journal JOIN publications ON publications.id = journal.publication_id "  # noqa: S608
            "WHERE journal.id > :after"
        )
        with database.engine.connect() as connection:
            return [float(row[0]) for row in connection.execute(text(query), {"after": after})]


def _scalar(database: SqlDatabase, query: str) -> Any:  # noqa: ANN401 -- what the query gives
    with database.engine.connect() as connection:
        return connection.execute(text(query)).scalar_one()


def _quantiles(name: str, milliseconds: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(milliseconds, n=20, method="inclusive")
    return {f"{name}: t3 - t2 p50 ms": statistics.median(milliseconds), f"{name}: t3 - t2 p95 ms": cuts[18]}


def _print_table(home: Path) -> None:
    """All figures side by side, smallest repository first."""
    columns = {path.parent.name: json.loads(path.read_text()) for path in home.glob("*/figures.json")}
    names = sorted(columns, key=lambda name: (name.partition("-")[2], columns[name].get("files", 0)))
    print(f"{'':<36}" + "".join(f"{name:>16}" for name in names))
    for row in dict.fromkeys(row for name in names for row in columns[name]):
        values = [columns[name].get(row) for name in names]
        print(f"{row:<36}" + "".join(f"{'' if value is None else f'{value:,.1f}':>16}" for value in values))


if __name__ == "__main__":
    main()
