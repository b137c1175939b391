"""Lists of targets imported: what is taken, what is refused, and that nothing is half-done or done twice."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatehouse.core.errors import OperatorError
from gatehouse.gate import import_targets
from gatehouse.gate.import_targets import Imported, ImportTargets
from gatehouse.gate.importing import sorting
from gatehouse.gate.importing.reading import Refusal, TargetList
from gatehouse.gate.importing.rows import BadList, ListFormat
from gatehouse.gate.ports import Database, ImportCounts
from gatehouse.storage.spool import FolderSpool
from gatehouse.storage.sql.targets import SqlTargets
from gatehouse.tuf.model import BinRef, RawTarget, Target
from tests.support.crashes import Crash, Fuse, FusedDatabase, FusedStore
from tests.support.house import House, house
from tests.support.targets import journal, layout_of, some_target
from tests.support.tuf_client import Client

DIGEST, OTHER = "ab" * 32, "cd" * 32
PATHS = tuple(f"files/example/example-{number}.zip" for number in range(30))


@pytest.fixture
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    kind = getattr(request, "param", "sqlite")
    settings = {"database_url": request.getfixturevalue("postgres_url")} if kind == "postgres" else {}
    with house(tmp_path / "home", **settings) as opened:
        yield opened


on_both = pytest.mark.parametrize("home", ["sqlite", "postgres"], indirect=True)


def csv(*rows: str, head: str = "path,sha256,length") -> bytes:
    return "".join(f"{line}\n" for line in (head, *rows)).encode()


def row(path: str, sha256: str = DIGEST, length: object = 7) -> str:
    return f"{path},{sha256},{length}"


class Importer:
    """Imports what a test gives it, and keeps what was refused."""

    def __init__(self, home: House, folder: Path) -> None:
        self.home, self.folder = home, folder
        self.refused: list[Refusal] = []
        self.database: Database = home.gatehouse.database
        self.patience = 60.0
        self.slept: list[float] = []
        self.steps: list[str] = []

    def __call__(self, *lists: bytes, **how: bool) -> Imported:
        spool = self.folder / f"spool-{len(list(self.folder.glob('spool-*')))}"
        spool.mkdir()
        self.refused.clear()
        story = ImportTargets(
            database=self.database,
            trust=self.home.gatehouse.trust,
            clock=self.home.gatehouse.clock,
            spool=FolderSpool(spool),
            patience=self.patience,
            sleep=self.slept.append,
        )
        return story(
            [
                TargetList(name=f"list-{n}", stream=io.BytesIO(data), format=ListFormat.CSV, size=len(data))
                for n, data in enumerate(lists, 1)
            ],
            refuse=self.refused.append,
            step=lambda part, _done, _of: self.steps.append(part),
            **how,
        )

    @property
    def reasons(self) -> list[tuple[str, int, str]]:
        return [(each.list, each.line, each.reason) for each in self.refused]

    def target(self, path: str) -> Target | None:
        with self.home.gatehouse.database.read() as transaction:
            return transaction.signing.find_target(path, layout_of(self.home).bin_of(path))

    def count(self) -> int:
        with self.home.gatehouse.database.read() as transaction:
            return transaction.signing.count_targets()


@pytest.fixture
def importer(home: House, tmp_path: Path) -> Importer:
    return Importer(home, tmp_path)


@on_both
def test_what_is_imported_is_published_and_found(home: House, importer: Importer, tmp_path: Path) -> None:
    listed = [some_target(path) for path in (*PATHS, "simple/example/index.html")]
    done = importer(csv(*(row(each.path, each.sha256, each.length) for each in listed)))
    assert (done.rows, done.counts) == (31, ImportCounts(loaded=31))
    assert {"reading list-1", "loading"} <= set(importer.steps)
    assert home.publish() >= 1
    client = Client(home.gatehouse, tmp_path / "client")
    assert all(client.knows(each.path) for each in listed)
    assert home.publish() == 0


def test_a_list_that_is_damaged_at_its_end_changes_nothing(importer: Importer) -> None:
    with pytest.raises(BadList, match="damaged or was cut off"):
        importer(csv(row(PATHS[0])), gzip.compress(csv(*map(row, PATHS)))[:-9])
    assert importer.count() == 0


def test_a_list_that_contradicts_itself_is_believed_in_neither_place(importer: Importer) -> None:
    done = importer(
        csv(row(PATHS[0]), row(PATHS[1]), row(PATHS[0], OTHER), row(PATHS[1])), csv(row(PATHS[2]), row(PATHS[0]))
    )
    assert done.counts == ImportCounts(loaded=2, unchanged=1, refused=3)
    assert sorted(each[:2] for each in importer.reasons) == [("list-1", 2), ("list-1", 4), ("list-2", 3)]
    assert all(PATHS[0] in why for _, _, why in importer.reasons)
    assert importer.target(PATHS[0]) is None


@on_both
def test_what_is_there_with_other_content_gives_way_only_when_asked(home: House, importer: Importer) -> None:
    journal(home, PATHS[0])
    home.publish()
    data = csv(row(PATHS[0]), row(PATHS[1]))
    assert importer(data).counts == ImportCounts(loaded=1, refused=1)
    assert "the index has it with other content" in importer.reasons[0][2]
    assert importer.target(PATHS[0]) == some_target(PATHS[0])
    assert importer(data, replace=True).counts == ImportCounts(replaced=1, unchanged=1)
    assert importer.target(PATHS[0]) == Target(path=PATHS[0], sha256=DIGEST, length=7)


def test_the_same_again_changes_nothing_and_gives_the_publisher_nothing_to_do(
    home: House, importer: Importer
) -> None:
    data = csv(*map(row, PATHS))
    importer(data)
    home.publish()
    assert importer(data).counts == ImportCounts(unchanged=len(PATHS))
    assert home.publish() == 0


def test_strict_imports_nothing_when_anything_is_wrong_and_names_it(home: House, importer: Importer) -> None:
    journal(home, PATHS[3])
    home.publish()
    for fault, message in (
        (row("files/x"), "list-1, line 5: Invalid target path"),
        (row(PATHS[0], OTHER), f"list-1, line [25]: {PATHS[0]}"),
        (row(PATHS[3]), f"list-1, line 5: {PATHS[3]}"),
    ):
        with pytest.raises(BadList, match=message):
            importer(csv(*map(row, PATHS[:3]), fault), strict=True)
        assert importer.count() == 1
    assert importer(csv(*map(row, PATHS[:3])), strict=True).counts == ImportCounts(loaded=3)


def test_a_dry_run_tells_all_and_writes_nothing(home: House, importer: Importer) -> None:
    importer(csv(row(PATHS[0]), row(PATHS[1], OTHER)))
    home.publish()
    done = importer(csv(row(PATHS[0]), row(PATHS[1]), row(PATHS[2]), "x"), dry_run=True)
    assert (done.id, done.counts) == (None, ImportCounts(loaded=1, unchanged=1, refused=2))
    assert [number for _, number, _ in importer.reasons] == [5, 3]
    assert (importer.count(), home.publish()) == (2, 0)


def test_more_faults_than_bearable_end_it(importer: Importer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_targets, "MOST_REFUSED", 3)
    with pytest.raises(BadList, match="3 rows are refused, the last in list-1, line 5"):
        importer(csv(row(PATHS[0]), "x", "x", "x", "x"))
    assert importer.count() == 0


@on_both
@pytest.mark.parametrize("at", range(4))
def test_an_import_that_crashed_goes_on_where_it_stopped(
    home: House, importer: Importer, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    real = SqlTargets.load_targets

    def load(targets: SqlTargets, bins: dict[BinRef, list[RawTarget]]) -> None:
        loaded.extend(path for rows in bins.values() for path, _, _ in rows)
        real(targets, bins)

    monkeypatch.setattr(SqlTargets, "load_targets", load)
    # A bin a piece: the beginning, a bin of pages, two of files.
    monkeypatch.setattr(sorting, "PIECE_ROWS", 1)
    data = csv(*map(row, PATHS), "x", row("simple/example/index.html"))
    importer.database = FusedDatabase(home.gatehouse.database, Fuse(at=at, after=True))
    with pytest.raises(Crash):
        importer(data)
    assert importer.count() == len(loaded)
    before, importer.database = importer.count(), home.gatehouse.database
    # Another list is another import, and goes on nowhere.
    assert importer(csv(row("files/other/other.zip"))).resumed_at == 0
    done = importer(data)
    assert (done.resumed_at > 0) == (at > 0)
    assert done.counts == ImportCounts(loaded=31, refused=1), "what came before the crash counts too"
    assert (before > 0) == (at > 0)
    assert sorted(loaded) == sorted([*PATHS, "simple/example/index.html", "files/other/other.zip"]), "each once"
    with home.gatehouse.database.read() as transaction:
        newest = transaction.imports.newest(limit=10)
    assert [(each.id, each.finished_at is not None) for each in newest] == [(2, True), (1, True)]


def test_an_import_waits_for_a_publication_that_is_half_way_and_then_says_what_to_do(
    home: House, importer: Importer
) -> None:
    journal(home, PATHS[0])
    home.publisher.store = FusedStore(home.gatehouse.metadata_store, Fuse(at=0, after=False))
    with pytest.raises(Crash):
        home.publisher.publish()
    importer.patience = 1.0
    data = csv(row(PATHS[1]))
    with pytest.raises(OperatorError, match="Start the server, which finishes it, and import the same again"):
        importer(data)
    assert sum(importer.slept) >= 1.0
    assert importer.count() == 1
    home.publisher.store = home.gatehouse.metadata_store
    home.publish()
    assert importer(data).counts == ImportCounts(loaded=1)


def test_two_who_carry_on_the_same_import_do_not_both_count(home: House) -> None:
    database, now = home.gatehouse.database, home.gatehouse.clock.now()
    with database.write() as transaction:
        run = transaction.imports.begin(DIGEST, at=now)
    with database.write() as transaction:
        transaction.imports.advance(run, cursor=2, counts=ImportCounts(loaded=5))
    with pytest.raises(OperatorError, match="carried on by another process"), database.write() as transaction:
        transaction.imports.advance(run, cursor=2, counts=ImportCounts(loaded=5))
    with pytest.raises(OperatorError, match="carried on by another process"), database.write() as transaction:
        transaction.imports.finish(run, at=now)
