"""The programs that people use: twine and uv upload, pip and uv install, python-tuf verifies. None of them is told
anything but what `gatehouse serve` prints."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from uv import find_uv_bin

from gatehouse.cli.demo.client import Client, Verifier
from gatehouse.cli.demo.server import Server
from tests.support.distributions import build_sdist, build_wheel
from tests.support.waiting import wait_until

BUILD_BACKEND = (
    "import base64, hashlib, zipfile\n"
    "def build_wheel(folder, config_settings=None, metadata_directory=None):\n"
    "    name = 'sourced-1.0-py3-none-any.whl'\n"
    "    info = 'sourced-1.0.dist-info/'\n"
    "    with zipfile.ZipFile(folder + '/' + name, 'w') as wheel:\n"
    "        wheel.writestr('sourced.py', 'ANSWER = 42\\n')\n"
    "        wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: sourced\\nVersion: 1.0\\n')\n"
    "        wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n"
    "        wheel.writestr(info + 'RECORD', '')\n"
    "    return name\n"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(home=tmp_path_factory.mktemp("index") / "home")
    server.start()
    yield server
    server.stop()


def run(command: list[str], **more: str) -> subprocess.CompletedProcess[str]:
    """Run a client with nothing of this machine's configuration but its path."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    environment |= {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "400", "PIP_NO_INPUT": "1"} | more
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)


def printed(server: Server, program: str, what: str) -> list[str]:
    """The command line that the server printed for a program, with `what` in the place of its last word."""
    line = next(line for line in server.banner if f" {program} " in line)
    words = line[line.index(program) :].split()
    return [*words[:-1], what]


def twine(server: Server, file: Path) -> subprocess.CompletedProcess[str]:
    return run([sys.executable, "-m", *printed(server, "twine upload", str(file))])


def uv(command: list[str], **more: str) -> subprocess.CompletedProcess[str]:
    return run([find_uv_bin(), "--no-config", "--no-cache", *command], **more)


def uv_publish(server: Server, file: Path) -> subprocess.CompletedProcess[str]:
    return uv(printed(server, "uv publish", str(file))[1:])


def write(folder: Path, distribution: tuple[str, bytes]) -> Path:
    path = folder / distribution[0]
    path.write_bytes(distribution[1])
    return path


def published(server: Server, name: str, filename: str) -> None:
    client = Client(server.url, server.token)

    def listed() -> bool:
        page = client.page(name)
        return page is not None and filename in {file["filename"] for file in page["files"]}

    wait_until(listed)


def verify(server: Server, folder: Path, name: str, *files: Path) -> None:
    """python-tuf, from the trusted root whose path was printed: both pages and every file."""
    root = next(line.split()[-1] for line in server.banner if "trusted root" in line)
    verifier = Verifier(folder / "tuf", server.url, Path(root).read_bytes())
    pages = [f"simple/{name}/index.html", f"simple/{name}/index.v1.json"]
    found = verifier.download([*pages, *(f"files/{name}/{file.name}" for file in files)])
    client = Client(server.url, server.token)
    assert found[pages[0]] == client.get(f"/simple/{name}/", "text/html")
    assert found[pages[1]] == client.get(f"/simple/{name}/", "application/vnd.pypi.simple.v1+json")
    for file in files:
        assert found[f"files/{name}/{file.name}"] == file.read_bytes()


def test_twine_uploads_a_wheel_and_an_sdist_pip_installs_and_tuf_verifies(server: Server, tmp_path: Path) -> None:
    wheel = write(tmp_path, build_wheel("Twined.Project", "1.0", files={"twined.py": "ANSWER = 1\n"}))
    sdist = write(tmp_path, build_sdist("Twined.Project", "1.0", files={"twined.py": "ANSWER = 1\n"}))
    for file in (wheel, sdist):
        uploaded = twine(server, file)
        assert uploaded.returncode == 0, uploaded.stdout + uploaded.stderr
        published(server, "twined-project", file.name)
    verify(server, tmp_path, "twined-project", wheel, sdist)
    command = printed(server, "pip install", "Twined.Project")
    site = tmp_path / "site"
    installed = run(
        [sys.executable, "-m", "pip", "--isolated", *command[1:], "--no-cache-dir", "--target", str(site)]
    )
    assert installed.returncode == 0, installed.stdout + installed.stderr
    assert (site / "twined.py").read_text() == "ANSWER = 1\n"


def test_uv_publishes_a_wheel_and_an_sdist_uv_installs_and_tuf_verifies(server: Server, tmp_path: Path) -> None:
    wheel = write(tmp_path, build_wheel("uv-published", "2.0", files={"published.py": "ANSWER = 2\n"}))
    sdist = write(tmp_path, build_sdist("uv-published", "2.0", files={"published.py": "ANSWER = 2\n"}))
    for file in (wheel, sdist):
        uploaded = uv_publish(server, file)
        assert uploaded.returncode == 0, uploaded.stdout + uploaded.stderr
        published(server, "uv-published", file.name)
    verify(server, tmp_path, "uv-published", wheel, sdist)
    site = tmp_path / "site"
    index = f"{server.url}/simple/"
    installed = uv(["pip", "install", "--no-deps", "--index-url", index, "--target", str(site), "uv-published"])
    assert installed.returncode == 0, installed.stdout + installed.stderr
    assert (site / "published.py").read_text() == "ANSWER = 2\n"


def test_pip_builds_from_an_sdist(server: Server, tmp_path: Path) -> None:
    project = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    files = {"pyproject.toml": project, "backend.py": BUILD_BACKEND}
    sdist = write(tmp_path, build_sdist("sourced", "1.0", files=files))
    assert twine(server, sdist).returncode == 0
    published(server, "sourced", sdist.name)
    site = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "--isolated", *printed(server, "pip install", "sourced")[1:]]
    installed = run([*command, "--no-cache-dir", "--target", str(site)])
    assert installed.returncode == 0, installed.stdout + installed.stderr
    assert (site / "sourced.py").read_text() == "ANSWER = 42\n"


def test_the_same_file_again_is_success_and_other_content_is_refused_with_the_reason(
    server: Server, tmp_path: Path
) -> None:
    first, other = tmp_path / "first", tmp_path / "other"
    first.mkdir()
    other.mkdir()
    file = write(first, build_wheel("again", "1.0"))
    changed = write(other, build_wheel("again", "1.0", files={"again.py": "CHANGED = 1\n"}))
    for upload in (twine, uv_publish):
        assert upload(server, file).returncode == 0
        refused = upload(server, changed)
        assert refused.returncode != 0
        assert "already exists with other content" in re.sub(r"\s+", " ", refused.stdout + refused.stderr)
    published(server, "again", file.name)
    verify(server, tmp_path, "again", file)


@pytest.mark.parametrize("token", ["gatehouse-nonsense", "pypi-AgEIcHlwaS5vcmc"])
def test_a_foreign_token_is_refused_with_the_reason(server: Server, tmp_path: Path, token: str) -> None:
    file = write(tmp_path, build_wheel("foreign", "1.0"))
    arguments = ["--repository-url", f"{server.url}/legacy/", "-u", "__token__", "-p", token, str(file)]
    said = run([sys.executable, "-m", "twine", "upload", "--non-interactive", *arguments])
    assert said.returncode != 0
    assert "401" in said.stdout
    assert "token" in said.stdout.lower()
    said = uv(["publish", "--publish-url", f"{server.url}/legacy/", "--token", token, str(file)])
    assert said.returncode != 0
    assert "token" in said.stderr.lower()
    assert Client(server.url, server.token).page("foreign") is None


def test_pip_passes_over_a_yanked_release(server: Server, tmp_path: Path) -> None:
    client = Client(server.url, server.token)
    for version in ("1.0", "1.1"):
        file = write(tmp_path, build_wheel("yankable", version, files={"yankable.py": f"V = '{version}'\n"}))
        assert twine(server, file).returncode == 0
        published(server, "yankable", file.name)
    assert client.act("PUT", "projects/yankable/releases/1.1/yank", {"reason": "broken"}) < 300

    def yanked() -> bool:
        page = client.page("yankable")
        return page is not None and any(file["yanked"] == "broken" for file in page["files"])

    wait_until(yanked)
    site = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "--isolated", *printed(server, "pip install", "yankable")[1:]]
    installed = run([*command, "--no-cache-dir", "--target", str(site)])
    assert installed.returncode == 0, installed.stdout + installed.stderr
    assert (site / "yankable.py").read_text() == "V = '1.0'\n"
