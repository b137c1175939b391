"""A file whose bytes lie elsewhere is handed on to where they lie, and nowhere but there."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gatehouse.catalog.model import FileState, NewFile
from tests.support.web_house import WebHouse

URL = "https://files.invalid/elsewhere/external_thing-1.0.tar.gz"
FILENAME = "external_thing-1.0.tar.gz"
AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def published(house: WebHouse) -> str:
    """An external file, published and signed; its digest."""
    sha256 = "ab" * 32
    gatehouse = house.gatehouse
    with gatehouse.database.write() as transaction:
        project = transaction.catalog.add_project(name="external-thing", display_name="external-thing", at=AT)
        release = transaction.catalog.add_release(project.id, "1.0", at=AT)
        file = transaction.catalog.add_file(
            NewFile(
                project_id=project.id,
                release_id=release.id,
                filename=FILENAME,
                identity="sdist:external-thing:1",
                packagetype="sdist",
                python_tag="source",
                sha256=sha256,
                md5="0" * 32,
                blake2_256="0" * 64,
                size=1234,
                requires_python=None,
                metadata_sha256=None,
                core_metadata={},
                uploader="host",
                received_at=AT,
                external_url=URL,
            ),
            at=AT,
        )
        gatehouse.transitions.move(
            transaction,
            [file.id],
            FileState.PUBLISHED,
            leaving={FileState.ACCEPTED},
            at=AT,
            cause="published",
        )
    house.publish()
    return sha256


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_file_and_its_target_lead_to_where_the_bytes_lie(house: WebHouse, published: str, method: str) -> None:
    paths = [
        f"/files/external-thing/{FILENAME}",
        f"/tuf/targets/files/external-thing/{FILENAME}",
        f"/tuf/targets/files/external-thing/{published}.{FILENAME}",
    ]
    for path in paths:
        answer = house.ask(path, method)
        assert answer.status_int == 302, path
        assert answer.headers["Location"] == URL


def test_the_page_states_its_digest_and_its_metadata_is_not_claimed(house: WebHouse, published: str) -> None:
    page = house.ask("/simple/external-thing/", Accept="application/vnd.pypi.simple.v1+json").json
    (file,) = page["files"]
    assert file["hashes"] == {"sha256": published}
    assert file["core-metadata"] is False
    assert house.ask(f"/files/external-thing/{FILENAME}.metadata").status_int == 404


def test_another_digest_leads_nowhere(house: WebHouse, published: str) -> None:
    wrong = published[::-1]
    assert house.ask(f"/tuf/targets/files/external-thing/{wrong}.{FILENAME}").status_int == 404
