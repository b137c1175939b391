"""The catalog in SQL, on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier
from threading import Event as Signal
from typing import Any

import pytest
from sqlalchemy import select

from gatehouse.catalog.model import (
    Event,
    File,
    FileState,
    NewFile,
    PageFile,
    Project,
    ProjectStatus,
    Release,
    ServedPage,
)
from gatehouse.core.errors import Conflict, InternalError
from gatehouse.storage.sql.database import SqlDatabase
from gatehouse.storage.sql.models import EventRow, FileRow

NOW = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def new_file(release: Release, number: int = 1, **changes: object) -> NewFile:
    file = NewFile(
        project_id=release.project_id,
        release_id=release.id,
        filename=f"demo-{number}.tar.gz",
        identity=f"sdist:demo:{number}",
        packagetype="sdist",
        python_tag="source",
        sha256="a" * 64,
        md5="b" * 32,
        blake2_256="c" * 64,
        size=5_000_000_000,
        requires_python=">=3.9",
        metadata_sha256=None,
        core_metadata={"name": "demo", "summary": "nul \x00 and \ud800"},
        uploader="alice",
        received_at=NOW - timedelta(seconds=3),
    )
    return replace(file, **changes)  # type: ignore[arg-type]  # the callers' keywords are fields


def add_release(database: SqlDatabase, version: str = "1.0") -> Release:
    with database.write() as tx:
        project = tx.catalog.add_project(name="demo", display_name="Demo", at=NOW)
        return tx.catalog.add_release(project.id, version, at=NOW)


def add_files(database: SqlDatabase, release: Release, *numbers: int) -> list[File]:
    with database.write() as tx:
        return [tx.catalog.add_file(new_file(release, number), at=LATER) for number in numbers]


class TestProjects:
    def test_a_project_is_found_by_its_name(self, database: SqlDatabase) -> None:
        with database.write() as tx:
            assert tx.catalog.find_project("demo") is None
            added = tx.catalog.add_project(name="demo", display_name="Demo", at=NOW)
            assert tx.catalog.find_project("demo", lock=True) == added
        assert added == Project(
            id=added.id,
            source="local",
            name="demo",
            display_name="Demo",
            status=ProjectStatus.ACTIVE,
            status_reason=None,
            created_at=NOW,
        )
        with database.read() as tx:
            assert tx.catalog.find_project("demo") == added

    def test_adding_it_again_gives_the_first(self, database: SqlDatabase) -> None:
        with database.write() as tx:
            first = tx.catalog.add_project(name="demo", display_name="Demo", at=NOW)
        with database.write() as tx:
            assert tx.catalog.add_project(name="demo", display_name="DEMO", at=LATER) == first

    def test_two_threads_add_the_same_project_and_both_get_it(self, database: SqlDatabase) -> None:
        together = Barrier(2)

        def add(display_name: str) -> Project:
            together.wait()
            with database.write() as tx:
                return tx.catalog.add_project(name="demo", display_name=display_name, at=NOW)

        for _ in range(3):
            with ThreadPoolExecutor(2) as pool:
                one, two = pool.map(add, ("one", "two"))
            assert one == two

    def test_a_locked_project_makes_others_wait(self, database: SqlDatabase) -> None:
        add_release(database)
        locked, order = Signal(), list[str]()

        def second() -> None:
            locked.wait(60)
            with database.write() as tx:
                tx.catalog.find_project("demo", lock=True)
                order.append("second")

        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(second)
            with database.write() as tx:
                tx.catalog.find_project("demo", lock=True)
                locked.set()
                assert not waiting.done()
                with pytest.raises(TimeoutError):
                    waiting.result(0.2)
                order.append("first")
            waiting.result(60)
        assert order == ["first", "second"]

    def test_another_project_is_not_locked_on_postgresql(self, postgres_database: SqlDatabase) -> None:
        database = postgres_database
        with database.write() as tx, database.write() as other:
            tx.catalog.add_project(name="one", display_name="one", at=NOW)
            other.catalog.add_project(name="two", display_name="two", at=NOW)

    def test_a_status_is_set(self, database: SqlDatabase) -> None:
        add_release(database)
        with database.write() as tx:
            project = tx.catalog.find_project("demo")
            assert project is not None
            tx.catalog.set_project_status(project.id, ProjectStatus.QUARANTINED, "stolen token")
            changed = tx.catalog.find_project("demo")
        assert changed == replace(project, status=ProjectStatus.QUARANTINED, status_reason="stolen token")

    def test_another_source_is_another_catalog(self, database_url: str) -> None:
        other = SqlDatabase(database_url, source="elsewhere")
        with pytest.raises(InternalError, match="elsewhere"), other.read() as tx:
            tx.catalog.find_project("demo")
        other.close()


class TestReleases:
    def test_a_release_is_added_found_and_yanked(self, database: SqlDatabase) -> None:
        release = add_release(database)
        with database.write() as tx:
            assert tx.catalog.find_release(release.project_id, "1.0") == release
            assert tx.catalog.find_release(release.project_id, "1.0.0") == release
            tx.catalog.set_yanked(release.id, at=LATER, reason="broken")
            yanked = tx.catalog.find_release(release.project_id, "1.0")
            assert yanked == replace(release, yanked_at=LATER, yanked_reason="broken")
            tx.catalog.set_yanked(release.id, at=None, reason=None)
            assert tx.catalog.find_release(release.project_id, "1.0") == release

    def test_a_release_is_added_once(self, database: SqlDatabase) -> None:
        add_release(database)
        with pytest.raises(Conflict, match=r"1\.0"):
            add_release(database)


class TestFiles:
    def test_a_file_is_accepted_and_found(self, database: SqlDatabase) -> None:
        release = add_release(database)
        (file,) = add_files(database, release, 1)
        assert file == File(
            id=file.id,
            project="demo",
            version="1.0",
            filename="demo-1.tar.gz",
            identity="sdist:demo:1",
            packagetype="sdist",
            sha256="a" * 64,
            size=5_000_000_000,
            metadata_sha256=None,
            external_url=None,
            state=FileState.ACCEPTED,
            uploader="alice",
            received_at=NOW - timedelta(seconds=3),
            uploaded_at=LATER,
        )
        with database.read() as tx:
            assert tx.catalog.find_file("demo-1.tar.gz") == file
            assert tx.catalog.find_file_by_identity("sdist:demo:1") == file
            assert tx.catalog.find_file("demo-2.tar.gz") is None
            assert tx.catalog.find_file_by_identity("sdist:demo:2") is None

    def test_every_field_is_kept(self, database: SqlDatabase) -> None:
        release = add_release(database)
        extra: dict[str, Any] = {
            "token_id": "t",
            "user_agent": "twine/7",
            "comment": "hello",
            "publisher": {"issuer": "i"},
            "external_url": "https://files.invalid/demo",
            "metadata_sha256": "d" * 64,
        }
        file = new_file(release, **extra)
        with database.write() as tx:
            tx.catalog.add_file(file, at=LATER)
        with database.engine.connect() as connection:
            row = connection.execute(select(*FileRow.__table__.c)).one()._asdict()
        wanted = {name: getattr(file, name) for name in NewFile.__slots__}
        assert {name: row[name] for name in wanted} == wanted
        assert row["state_changed_at"] == LATER

    def test_what_is_not_given_is_null_and_not_json(self, database: SqlDatabase) -> None:
        add_files(database, add_release(database), 1)
        with database.engine.connect() as connection:
            assert connection.scalar(select(FileRow.id).where(FileRow.publisher.is_(None))) is not None

    @pytest.mark.parametrize("same", ["filename", "identity"])
    def test_a_used_filename_or_identity_is_a_conflict(self, database: SqlDatabase, same: str) -> None:
        release = add_release(database)
        (first,) = add_files(database, release, 1)
        with pytest.raises(Conflict, match="is used"), database.write() as tx:
            tx.catalog.add_file(new_file(release, 2, **{same: getattr(first, same)}), at=LATER)
        with database.read() as tx:
            assert tx.catalog.files_of(release.project_id) == [first]

    def test_files_are_got_by_id_in_order_and_unknown_ids_left_out(self, database: SqlDatabase) -> None:
        files = add_files(database, add_release(database), 3, 1, 2)
        with database.read() as tx:
            ids = [files[2].id, files[0].id, 10**12, files[0].id]
            assert tx.catalog.get_files(ids) == [files[0], files[2]]
            assert tx.catalog.get_files([]) == []
            # More than either database takes as parameters of one statement.
            assert tx.catalog.get_files(range(70_000)) == files

    def test_files_of_a_project_or_of_one_release(self, database: SqlDatabase) -> None:
        first, second = add_release(database), add_release(database, "2.0")
        (one,) = add_files(database, first, 1)
        (two,) = add_files(database, second, 2)
        with database.read() as tx:
            assert tx.catalog.files_of(first.project_id) == [one, two]
            assert tx.catalog.files_of(first.project_id, version="2.0") == [two]
            assert tx.catalog.files_of(first.project_id, version="3.0") == []

    def test_pages_list_what_is_published_with_its_yank(self, database: SqlDatabase) -> None:
        release = add_release(database)
        files = add_files(database, release, 1, 2, 3)
        with database.write() as tx:
            tx.catalog.set_file_state([files[0].id, files[1].id], FileState.PUBLISHED, at=LATER)
            tx.catalog.set_file_state([files[1].id], FileState.REMOVED, at=LATER)
            tx.catalog.set_yanked(release.id, at=LATER, reason=None)
        with database.read() as tx:
            assert tx.catalog.page_files(release.project_id) == [
                PageFile(
                    filename="demo-1.tar.gz",
                    version="1.0",
                    sha256="a" * 64,
                    size=5_000_000_000,
                    uploaded_at=LATER,
                    requires_python=">=3.9",
                    yanked=True,
                )
            ]
            assert [file.state for file in tx.catalog.get_files([file.id for file in files])] == [
                FileState.PUBLISHED,
                FileState.REMOVED,
                FileState.ACCEPTED,
            ]


class TestServedPages:
    def test_a_page_is_served_by_format_until_it_is_taken_away(self, database: SqlDatabase) -> None:
        add_release(database)
        html, json = ServedPage(sha256="1" * 64, length=10), ServedPage(sha256="2" * 64, length=20)
        with database.write() as tx:
            assert tx.catalog.served_page("demo", "html") is None
            tx.catalog.set_served_page("demo", "html", html)
            assert tx.catalog.served_page("demo", "json") is None
            tx.catalog.set_served_page("demo", "json", json)
        with database.write() as tx:
            assert tx.catalog.served_page("demo", "html") == html
            assert tx.catalog.served_page("demo", "json") == json
            tx.catalog.set_served_page("demo", "html", None)
            assert tx.catalog.served_page("demo", "html") is None
            assert tx.catalog.served_projects() == ["demo"]
            tx.catalog.set_served_page("demo", "json", None)
            assert tx.catalog.served_projects() == []

    def test_served_projects_are_sorted(self, database: SqlDatabase) -> None:
        names = ["b", "a-b", "ab", "a", "a0"]
        with database.write() as tx:
            for name in names:
                tx.catalog.add_project(name=name, display_name=name, at=NOW)
                tx.catalog.set_served_page(name, "html", ServedPage(sha256="1" * 64, length=1))
            assert tx.catalog.served_projects() == sorted(names)

    def test_an_unknown_project_has_no_page(self, database: SqlDatabase) -> None:
        with database.write() as tx:
            assert tx.catalog.served_page("unknown", "html") is None
            tx.catalog.set_served_page("unknown", "html", None)
        with pytest.raises(InternalError, match="unknown"), database.write() as tx:
            tx.catalog.set_served_page("unknown", "html", ServedPage(sha256="1" * 64, length=1))


def test_an_event_is_kept_by_value(database: SqlDatabase) -> None:
    event = Event(
        at=NOW,
        actor="alice",
        action="upload",
        project="gone",
        version="1",
        filename="f",
        sha256="a" * 64,
        detail="d",
    )
    with database.write() as tx:
        tx.catalog.record(event)
    with database.engine.connect() as connection:
        row = connection.execute(select(*EventRow.__table__.c)).one()._asdict()
    assert row.pop("id") > 0
    assert row.pop("source") == "local"
    assert Event(**row) == event
