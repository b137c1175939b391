"""The documents that show commands are true: their commands are run, and print what the page says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.documents import Step, blocks, is_printed, read_steps
from tests.support.system import need

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs/tutorials/first-package.md"
UPLOAD_AND_MANAGE = ROOT / "docs/how-to/upload-and-manage.md"
CLIENT_LIBRARY = ROOT / "docs/how-to/client-library.md"
BIN = Path(sys.executable).parent
MARK = "--- step ended ---"


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """A server of the page: `folder` is where the reader stands, `address` what replaces the page's."""

    folder: Path
    address: str
    environment: dict[str, str]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("checkout")
    kept = {name: value for name, value in os.environ.items() if name.partition("_")[0] not in _BENDING}
    environment = kept | {
        "HOME": str(folder),
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "TMPDIR": str(folder),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        "COLUMNS": "200",
        "NO_COLOR": "1",
    }
    with (
        (folder / "server.log").open("w") as log,
        subprocess.Popen(
            [BIN / "gatehouse", "serve", "--port", "0"],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            yield Server(folder=folder, address=_address(process, folder), environment=environment)
        finally:
            process.terminate()


#: What a developer's shell may hold and would bend the walk, by the first part of its name.
_BENDING = {"GATEHOUSE", "PIP", "TWINE", "UV", "PYTHONPATH", "PYTHONWARNINGS", "HATCH"}


def _address(process: subprocess.Popen[str], folder: Path) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("Gatehouse serves http://"):
            return line.rpartition("//")[2].strip()
    pytest.fail(f"The server did not start: {(folder / 'server.log').read_text()}")


@pytest.fixture(scope="module")
def walked(server: Server) -> list[tuple[Step, str]]:
    """The tutorial's steps with what each printed. It publishes `first-package`."""
    return walk(TUTORIAL, server)


def test_the_tutorial_works_as_it_is_written(walked: list[tuple[Step, str]]) -> None:
    check(walked, at_least=20)


def test_the_client_example_verifies_pages_and_file_from_the_root_alone(
    server: Server, walked: list[tuple[Step, str]]
) -> None:
    assert walked
    example = server.folder / "example.py"
    (text,) = blocks(CLIENT_LIBRARY, "python")
    example.write_text(text)
    root = server.folder / "gatehouse-data/tuf/metadata/1.root.json"
    done = run(server, [sys.executable, example, f"http://{server.address}", root, "cache", "first-package"])
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("verified: two pages of first-package and first_package-1.0")


@pytest.mark.system
def test_the_page_on_uploading_and_managing_works_as_it_is_written(server: Server) -> None:
    need("curl", "curl")
    check(walk(UPLOAD_AND_MANAGE, server), at_least=12)


def walk(page: Path, server: Server) -> list[tuple[Step, str]]:
    """Run a page's steps in one shell, until one fails; each with what it printed."""
    steps = read_steps(page, server.address)
    script = server.folder / f"{page.stem}.sh"
    script.write_text("\n".join(f"{step.command}\necho; echo '{MARK}'" for step in steps))
    done = run(server, ["bash", "-e", script])
    outputs = done.stdout.split(MARK)
    failed = steps[min(len(outputs), len(steps)) - 1].command
    assert done.returncode == 0, f"This failed:\n{failed}\n\nAll that was printed:\n{done.stdout}"
    return list(zip(steps, outputs, strict=False))


def check(walked: list[tuple[Step, str]], *, at_least: int) -> None:
    assert len(walked) >= at_least, "the page has lost its commands"
    for step, output in walked:
        assert is_printed(step.prints, output), f"{step.command}\nprinted\n{output}\nthe page says {step.prints}"


def run(server: Server, command: list[str | Path]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=server.folder,
        env=server.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=180,
        check=False,
    )
