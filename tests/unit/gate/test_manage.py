"""What an owner does is effective on pages and in TUF at the next publication, and only owners do it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gatehouse.catalog.model import FileState
from gatehouse.core.errors import CallerError, NotAllowed, NotFound
from gatehouse.core.names import InvalidName
from gatehouse.gate.authorize import Authority
from gatehouse.malware.model import Tier
from tests.support.distributions import build_sdist, build_wheel
from tests.support.house import House
from tests.support.tuf_client import Client

WHEEL, SDIST = "example-1.0-py3-none-any.whl", "example-1.0.tar.gz"
PAGE = "simple/example/index.v1.json"


@pytest.fixture
def owner(home: House) -> Authority:
    authority = home.authority()
    home.upload(build_wheel("example", "1.0"), authority=authority)
    home.upload(build_sdist("example", "1.0"), authority=authority)
    home.upload(build_wheel("example", "2.0"), authority=authority)
    home.work()
    return authority


def page(home: House, folder: Path) -> Any:
    """The JSON page as a verifying client gets it, or None."""
    data = Client(home.gatehouse, folder).get(PAGE)[PAGE]
    return None if data is None else json.loads(data)


def test_a_yank_covers_the_release_and_a_file_that_comes_later(
    home: House, owner: Authority, tmp_path: Path
) -> None:
    home.gatehouse.manage.yank(owner, "Example", "1.0.0", " it burns ")
    home.upload(build_wheel("example", "1.0", tag="py2-none-any"), authority=owner)
    home.work()
    yanked = {file["filename"]: file["yanked"] for file in page(home, tmp_path)["files"]}
    assert yanked == {
        WHEEL: "it burns",
        SDIST: "it burns",
        "example-1.0-py2-none-any.whl": "it burns",
        "example-2.0-py3-none-any.whl": False,
    }
    home.gatehouse.manage.unyank(owner, "example", "1.0")
    home.publish()
    assert {file["yanked"] for file in page(home, tmp_path)["files"]} == {False}


def test_a_deleted_file_is_off_the_page_and_no_target(home: House, owner: Authority, tmp_path: Path) -> None:
    home.gatehouse.manage.delete_file(owner, "example", "1.0", WHEEL)
    home.publish()
    assert WHEEL not in {file["filename"] for file in page(home, tmp_path)["files"]}
    assert Client(home.gatehouse, tmp_path).get(f"files/example/{WHEEL}") == {f"files/example/{WHEEL}": None}
    assert home.gatehouse.shelf.file("example", WHEEL) is None
    assert home.gatehouse.shelf.target(f"files/example/{WHEEL}") is None


def test_a_deleted_release_and_a_deleted_project(home: House, owner: Authority, tmp_path: Path) -> None:
    home.gatehouse.manage.delete_release(owner, "example", "1.0")
    home.publish()
    assert page(home, tmp_path)["versions"] == ["2.0"]
    home.gatehouse.manage.delete_project(owner, "example")
    home.publish()
    assert page(home, tmp_path) is None
    assert home.gatehouse.shelf.page("example", "html") is None
    assert home.gatehouse.shelf.projects() == []


def test_a_file_deleted_before_its_screening_is_never_published(home: House, tmp_path: Path) -> None:
    authority = home.authority()
    home.upload(build_wheel("example", "1.0"), authority=authority)
    home.gatehouse.manage.delete_file(authority, "example", "1.0", WHEEL)
    home.work()
    assert home.file(WHEEL).state is FileState.DELETED
    assert page(home, tmp_path) is None


def test_a_project_of_which_all_is_held_has_no_page_and_its_owner_can_make_none(
    home: House, tmp_path: Path
) -> None:
    authority = home.authority()
    home.judge.says[WHEEL] = Tier.HOLD
    home.upload(build_wheel("example", "1.0"), authority=authority)
    home.work()
    home.gatehouse.manage.set_status(authority, "example", "deprecated", "get it from files.invalid")
    home.gatehouse.manage.yank(authority, "example", "1.0", "look here")
    home.work()
    assert page(home, tmp_path) is None
    assert home.gatehouse.shelf.projects() == []
    home.upload(build_sdist("example", "1.0"), authority=authority)
    home.work()
    found = page(home, tmp_path)
    assert [file["filename"] for file in found["files"]] == [SDIST]
    assert found["project-status"]["status"] == "deprecated"
    assert found["files"][0]["yanked"] == "look here"


def test_the_name_of_a_deleted_project_stays_its_owners(home: House, owner: Authority) -> None:
    home.gatehouse.manage.delete_project(owner, "example")
    with pytest.raises(NotAllowed, match="does not own"):
        home.upload(build_wheel("example", "3.0"), authority=home.authority("mallory"))
    home.upload(build_wheel("example", "3.0"), authority=owner)


@pytest.mark.parametrize("status", ["archived", "deprecated", "active"])
def test_a_status_stands_on_the_page(home: House, owner: Authority, tmp_path: Path, status: str) -> None:
    home.gatehouse.manage.set_status(owner, "example", status, "see elsewhere")
    home.publish()
    said = page(home, tmp_path)["project-status"]
    assert said["status"] == status
    assert said.get("reason") == (None if status == "active" else "see elsewhere")


@pytest.mark.parametrize("status", ["quarantined", "", "ARCHIVED", "<script>"])
def test_an_owner_cannot_choose_every_status(home: House, owner: Authority, status: str) -> None:
    with pytest.raises(CallerError, match="an owner may choose one of"):
        home.gatehouse.manage.set_status(owner, "example", status)


def test_only_owners_with_a_fitting_token_may(home: House, owner: Authority) -> None:
    manage = home.gatehouse.manage
    mallory, narrow = home.authority("mallory"), home.authority(projects=["another"])
    for stranger in (mallory, narrow):
        with pytest.raises(NotAllowed):
            manage.yank(stranger, "example", "1.0")
        with pytest.raises(NotAllowed):
            manage.delete_file(stranger, "example", "1.0", WHEEL)
        with pytest.raises(NotAllowed):
            manage.delete_release(stranger, "example", "1.0")
        with pytest.raises(NotAllowed):
            manage.delete_project(stranger, "example")
        with pytest.raises(NotAllowed):
            manage.set_status(stranger, "example", "archived")
    assert home.file(WHEEL).state is FileState.PUBLISHED
    assert owner.account.name == "alice"


def test_what_is_not_there_is_said(home: House, owner: Authority) -> None:
    manage = home.gatehouse.manage
    with pytest.raises(NotFound, match="no project"):
        manage.yank(owner, "nothing", "1.0")
    with pytest.raises(NotFound, match="no version '9'"):
        manage.yank(owner, "example", "9")
    with pytest.raises(CallerError, match="Invalid version"):
        manage.yank(owner, "example", "../..")
    with pytest.raises(CallerError, match="Invalid version"):
        manage.yank(owner, "example", "1" * 5000)
    with pytest.raises(InvalidName):
        manage.yank(owner, "../etc", "1.0")
    with pytest.raises(NotFound, match="to delete"):
        manage.delete_file(owner, "example", "2.0", WHEEL)
    for reason in ("x" * 501, "two\nlines", "\x1b[31m"):
        with pytest.raises(CallerError, match="reason"):
            manage.yank(owner, "example", "1.0", reason)


def test_a_replaced_page_is_still_served_by_its_hash_for_clients_in_mid_session(
    home: House, owner: Authority
) -> None:
    before = home.gatehouse.shelf.page("example", "json")
    assert before is not None
    home.gatehouse.manage.yank(owner, "example", "1.0")
    home.publish()
    old = home.gatehouse.shelf.target(f"simple/example/{before.sha256}.index.v1.json")
    assert old is not None
    assert old.sha256 == before.sha256
    current = home.gatehouse.shelf.target("simple/example/index.v1.json")
    assert current is not None
    assert current.sha256 != before.sha256


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "simple",
        "simple/example",
        "simple/example/other.html",
        "simple/../files/example/x",
        "files/example/../../secret",
        f"files/Example/{WHEEL}",
        f"files/other/{WHEEL}",
        f"files/example/{'0' * 64}.{WHEEL}",
        "audit/x",
        "files/example/\x00",
        "files/example/" + "x" * 5000,
    ],
)
@pytest.mark.usefixtures("owner")
def test_a_target_path_that_is_none_finds_nothing(home: House, path: str) -> None:
    assert home.gatehouse.shelf.target(path) is None
