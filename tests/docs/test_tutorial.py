"""The documents that show commands are true: their commands are run, and print what the page says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.documents import Step, blocks
from tests.support.system import need
from tests.support.waiting import wait_until
from tests.support.walking import BIN, Reader, check, environment, run, walk

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs/tutorials/first-package.md"
UPLOAD_AND_MANAGE = ROOT / "docs/how-to/upload-and-manage.md"
CLIENT_LIBRARY = ROOT / "docs/how-to/client-library.md"
WRITE_A_CHECK = ROOT / "docs/how-to/write-a-check.md"
PACK_CHECKS = ROOT / "docs/how-to/pack-checks.md"
PROPOSE_A_CHECK = ROOT / "docs/how-to/propose-a-check.md"
SETTLE_A_VERDICT = ROOT / "docs/how-to/settle-a-verdict.md"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    folder = tmp_path_factory.mktemp("checkout")
    variables = environment(folder)
    with (
        (folder / "server.log").open("w") as log,
        subprocess.Popen(
            [BIN / "gatehouse", "serve", "--port", "0"],
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            yield Reader(folder=folder, address=_address(process, folder), environment=variables)
        finally:
            process.terminate()


def _address(process: subprocess.Popen[str], folder: Path) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("Gatehouse serves http://"):
            return line.rpartition("//")[2].strip()
    pytest.fail(f"The server did not start: {(folder / 'server.log').read_text()}")


@pytest.fixture(scope="module")
def walked(server: Reader) -> list[tuple[Step, str]]:
    """The tutorial's steps with what each printed. It publishes `first-package`."""
    return walk(TUTORIAL, server)


def test_the_tutorial_works_as_it_is_written(walked: list[tuple[Step, str]]) -> None:
    check(walked, at_least=20)


def test_the_client_example_verifies_pages_and_file_from_the_root_alone(
    server: Reader, walked: list[tuple[Step, str]]
) -> None:
    assert walked
    done = _run_client_example(server, "first-package")
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("verified: two pages of first-package and first_package-1.0")


def _run_client_example(server: Reader, name: str) -> subprocess.CompletedProcess[str]:
    example = server.folder / "example.py"
    (text,) = blocks(CLIENT_LIBRARY, "python")
    example.write_text(text)
    root = server.folder / "gatehouse-data/tuf/metadata/1.root.json"
    return run(server, [sys.executable, example, f"http://{server.address}", root, "cache", name])


@pytest.fixture(scope="module")
def managed(server: Reader) -> list[tuple[Step, str]]:
    """The steps of the page on uploading and managing. In the end `example` has a page and no files."""
    need("curl", "curl")
    return walk(UPLOAD_AND_MANAGE, server)


@pytest.mark.system
def test_the_page_on_uploading_and_managing_works_as_it_is_written(managed: list[tuple[Step, str]]) -> None:
    check(managed, at_least=12)


@pytest.mark.system
def test_the_client_example_says_so_when_a_verified_page_lists_no_files(
    server: Reader, managed: list[tuple[Step, str]]
) -> None:
    assert managed
    wait_until(lambda: _run_client_example(server, "example").returncode == 1)
    assert (
        _run_client_example(server, "example").stdout
        == "The page of example is verified, but it lists no files.\n"
    )


def test_the_page_on_settling_verdicts_works_as_it_is_written(server: Reader) -> None:
    check(walk(SETTLE_A_VERDICT, server), at_least=6)


def test_the_page_on_writing_checks_makes_one_that_passes(tmp_path: Path) -> None:
    reader = Reader(folder=tmp_path, environment=environment(tmp_path))
    check(walk(WRITE_A_CHECK, reader), at_least=14)


def test_the_page_on_packs_makes_one_that_runs_where_it_is_named(tmp_path: Path) -> None:
    reader = Reader(folder=tmp_path, environment=environment(tmp_path))
    check(walk(PACK_CHECKS, reader), at_least=9)


def test_the_page_on_proposing_checks_shows_commands_that_are_there(tmp_path: Path) -> None:
    reader = Reader(folder=tmp_path, environment=environment(tmp_path))
    check(walk(PROPOSE_A_CHECK, reader), at_least=2)
