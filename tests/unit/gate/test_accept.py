"""Every bad upload ends in one clear error and leaves nothing; a good one is durable and on its way."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatehouse.catalog.model import FileState
from gatehouse.core.errors import CallerError, Conflict, InvalidUpload, NotAllowed, NotAuthenticated, TooLarge
from gatehouse.core.names import InvalidName
from gatehouse.gate.accept import SCREEN_FILE
from tests.support.distributions import build_sdist, build_wheel, core_metadata, tar_gz_bytes, zip_bytes
from tests.support.house import House, house


def stored(home: House) -> tuple[int, int, int]:
    """How many blobs, projects and messages there are."""
    with home.gatehouse.database.read() as transaction:
        projects = transaction.catalog.find_project("example") is not None
        waiting, _ = transaction.outbox.count()
    return len(list(home.gatehouse.blobs)), int(projects), waiting


def test_a_good_upload_is_durable_and_its_work_is_in_the_outbox(home: House) -> None:
    accepted = home.wheel("Example.Project", "1.0", requires_python=">=3.8")
    assert not accepted.already
    assert accepted.file.project == "example-project"
    assert accepted.file.state is FileState.ACCEPTED
    with home.gatehouse.blobs.open(accepted.file.sha256) as blob:
        assert len(blob.read()) == accepted.file.size
    with home.gatehouse.database.read() as transaction:
        assert transaction.outbox.count() == (1, 0)


def test_the_same_file_again_is_success_and_changes_nothing(home: House) -> None:
    authority = home.authority()
    first = home.upload(build_wheel("example", "1.0"), authority=authority)
    again = home.upload(build_wheel("example", "1.0"), authority=authority)
    assert again.already
    assert again.file.id == first.file.id
    assert stored(home)[2] == 1


def test_other_content_under_a_known_filename_is_refused(home: House) -> None:
    home.wheel("example", "1.0")
    before = stored(home)
    with pytest.raises(Conflict, match="already exists with other content"):
        home.wheel("example", "1.0", files={"example.py": "CHANGED = 1\n"})
    assert stored(home) == before


def test_another_spelling_of_a_known_distribution_is_refused(home: House) -> None:
    home.upload(build_sdist("example", "1.0"))
    filename, data = build_sdist("example", "1.0")
    with pytest.raises(Conflict, match="exists under another filename"):
        home.upload((filename.replace("1.0", "1.0.0"), data), fields={"version": ["1.0"]})


def test_a_deleted_filename_is_not_taken_again(home: House) -> None:
    authority = home.authority()
    file = home.upload(build_wheel("example", "1.0"), authority=authority).file
    home.work()
    home.gatehouse.manage.delete_file(authority, "example", "1.0", file.filename)
    with pytest.raises(Conflict, match="has been taken out"):
        home.upload(build_wheel("example", "1.0"), authority=authority)


def test_another_account_may_not_upload_to_an_owned_project(home: House) -> None:
    home.wheel("example", "1.0")
    with pytest.raises(NotAllowed, match="'mallory' does not own the project 'example'"):
        home.upload(build_wheel("example", "1.1"), authority=home.authority("mallory"))


def test_a_token_for_one_project_opens_no_other(home: House) -> None:
    limited = home.authority(projects=["Other_Project"])
    home.upload(build_wheel("other-project", "1.0"), authority=limited)
    with pytest.raises(NotAllowed, match="limited to other projects"):
        home.upload(build_wheel("example", "1.0"), authority=limited)


@pytest.mark.parametrize("status", ["archived"])
def test_a_project_that_takes_no_uploads_says_so(home: House, status: str) -> None:
    authority = home.authority()
    home.upload(build_wheel("example", "1.0"), authority=authority)
    home.gatehouse.manage.set_status(authority, "example", status)
    with pytest.raises(NotAllowed, match="is archived and takes no uploads"):
        home.upload(build_wheel("example", "1.1"), authority=authority)


def test_a_file_over_the_limit_is_refused(tmp_path: Path) -> None:
    with house(tmp_path / "home", max_file_size=1000) as small:
        with pytest.raises(TooLarge, match="takes at most 1000"):
            small.wheel("example", "1.0", files={"example.py": "".join(f"x{n} = {n * n}\n" for n in range(400))})
        assert stored(small) == (0, 0, 0)


WHEEL, WHEEL_DATA = build_wheel("example", "1.0")
SDIST, SDIST_DATA = build_sdist("example", "1.0")
BAD_METADATA = core_metadata("example", "1.0", extra_headers=[("Requires-Python", "not a specifier")])


@pytest.mark.parametrize(
    ("filename", "data", "fields", "told"),
    [
        (WHEEL, WHEEL_DATA[: len(WHEEL_DATA) // 2], {}, "truncated"),
        (WHEEL, b"", {}, "not a zip file"),
        (WHEEL, SDIST_DATA, {}, "not a zip file"),
        (SDIST, WHEEL_DATA, {}, "gzip"),
        (SDIST, SDIST_DATA[: len(SDIST_DATA) // 2], {}, "truncated|ends"),
        (WHEEL, WHEEL_DATA, {"sha256_digest": ["0" * 64]}, "does not match the file"),
        (WHEEL, WHEEL_DATA, {"sha256_digest": ["xyz"]}, "not a digest"),
        (WHEEL, WHEEL_DATA, {"md5_digest": ["0" * 32]}, "'md5_digest' does not match"),
        (WHEEL, WHEEL_DATA, {"blake2_256_digest": ["0" * 64]}, "'blake2_256_digest' does not match"),
        (WHEEL, WHEEL_DATA, {"sha256_digest": [""]}, "states no digest"),
        (WHEEL, WHEEL_DATA, {"name": ["other"]}, "other"),
        (WHEEL, WHEEL_DATA, {"version": ["2.0"]}, "2.0"),
        (WHEEL, WHEEL_DATA, {"version": ["not a version"]}, "version"),
        (WHEEL.replace("1.0", "1.1"), WHEEL_DATA, {"version": ["1.1"]}, "1.1"),
        ("example-1.0.tar.bz2", SDIST_DATA, {"version": ["1.0"]}, "neither a wheel"),
        ("../../etc/passwd-1.0.tar.gz", SDIST_DATA, {"name": ["example"], "version": ["1.0"]}, "Invalid filename"),
        ("exämple-1.0.tar.gz", SDIST_DATA, {"name": ["example"], "version": ["1.0"]}, "Invalid filename"),
        (f"{'a' * 190}-1.0.tar.gz", SDIST_DATA, {"name": ["example"], "version": ["1.0"]}, "longer than 190"),
        (
            SDIST,
            tar_gz_bytes([("example-1.0/PKG-INFO", core_metadata("example", "1.0")), ("example-1.0/../x", "x")]),
            {},
            "refused",
        ),
        (SDIST, tar_gz_bytes([("example-1.0/PKG-INFO", BAD_METADATA)]), {}, "Requires-Python|requires-python"),
        (SDIST, tar_gz_bytes([("example-1.0/PKG-INFO", b"\xff\xfe")]), {}, "refused|metadata|Metadata"),
        (WHEEL, zip_bytes([("example.py", "x = 1\n")]), {}, "dist-info"),
    ],
)
def test_a_bad_upload_has_one_clear_error_and_leaves_nothing(
    home: House, filename: str, data: bytes, fields: dict[str, list[str]], told: str
) -> None:
    form = {"name": ["example"], "version": ["1.0"]} | fields
    with pytest.raises((InvalidUpload, InvalidName), match=told) as caught:
        home.upload((filename, data), fields=form)
    assert "\n" not in caught.value.message
    assert stored(home) == (0, 0, 0)


def test_a_zip_bomb_is_refused_before_it_unfolds(home: House) -> None:
    bomb = build_wheel("example", "1.0", files={"example.py": "#" * 60_000_000})
    assert len(bomb[1]) < 200_000
    with pytest.raises(InvalidUpload, match=r"ratio|bomb|inflate|unpack"):
        home.upload(bomb)
    assert stored(home) == (0, 0, 0)


@pytest.mark.parametrize("token", ["", "gatehouse-", "gatehouse-!!!", "pypi-AgEI", "gatehouse-" + "A" * 9000])
def test_a_token_that_is_none_is_refused(home: House, token: str) -> None:
    with pytest.raises(NotAuthenticated):
        home.gatehouse.tokens.authenticate(token)


def test_a_refusal_is_always_the_callers_fault(home: House) -> None:
    with pytest.raises(CallerError):
        home.upload(("non-sense", b"nonsense"), fields={"name": ["x"], "version": ["1"]})


def test_each_upload_brings_one_screening_under_both_policies(tmp_path: Path) -> None:
    with house(tmp_path / "home", publish_policy="publish_then_screen") as open_house:
        open_house.wheel("example", "1.0")
        assert open_house.let_in() == 1
        assert open_house.file(WHEEL).state is FileState.PUBLISHED
        with open_house.gatehouse.database.read() as transaction:
            assert transaction.outbox.count() == (1, 0)
        assert SCREEN_FILE == "screen-file"
        assert open_house.screen() == 1
