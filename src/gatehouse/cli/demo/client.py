"""The clients of the demo: an uploader, python-tuf's own client, and pip. None knows the server's inside."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import urllib3
from tuf.api.exceptions import DownloadError, RepositoryError
from tuf.ngclient import Updater

from gatehouse.catalog.distribution import parse_distribution_filename

_JSON = "application/vnd.pypi.simple.v1+json"


class Client:
    """Talks to one index."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self._pool = urllib3.PoolManager(retries=False, timeout=30)
        self._token = token

    def upload(self, filename: str, content: bytes, *, token: str | None = None) -> tuple[int, str]:
        """Upload as twine does; the status and the reason."""
        distribution = parse_distribution_filename(filename)
        fields: dict[str, str | tuple[str, bytes, str]] = {
            ":action": "file_upload",
            "protocol_version": "1",
            "metadata_version": "2.1",
            "name": distribution.project,
            "version": distribution.version,
            "filetype": distribution.kind,
            "pyversion": distribution.python_tag,
            "sha256_digest": hashlib.sha256(content).hexdigest(),
            "content": (filename, content, "application/octet-stream"),
        }
        response = self._pool.request(
            "POST", f"{self.url}/legacy/", fields=fields, headers=self._authorization(token or self._token)
        )
        return response.status, str(response.reason or "")

    def act(self, method: str, path: str, body: dict[str, Any] | None = None) -> int:
        """Use the API as the owner; the status."""
        response = self._pool.request(
            method,
            f"{self.url}/api/v1/{path}",
            body=None if body is None else json.dumps(body),
            headers=self._authorization(self._token) | {"Content-Type": "application/json"},
        )
        return response.status

    def page(self, name: str) -> dict[str, Any] | None:
        """A project's simple page as JSON (PEP 691), or None."""
        response = self._pool.request("GET", f"{self.url}/simple/{name}/", headers={"Accept": _JSON})
        if response.status != 200:  # noqa: PLR2004 -- HTTP's own number
            return None
        page: dict[str, Any] = json.loads(response.data)
        return page

    def status(self, path: str) -> int:
        """The status of a GET."""
        return self._pool.request("GET", f"{self.url}{path}").status

    def get(self, path: str, accept: str = "*/*") -> bytes:
        """The bytes at a path."""
        return self._pool.request("GET", f"{self.url}{path}", headers={"Accept": accept}).data

    def _authorization(self, token: str) -> dict[str, str]:
        return dict(urllib3.make_headers(basic_auth=f"__token__:{token}"))


class Verifier:
    """python-tuf's client, started from the trusted root alone; it keeps what it has seen between refreshes."""

    def __init__(self, folder: Path, url: str, root: bytes) -> None:
        self._folder = folder
        self._url = url
        self._root = root

    def download(self, paths: list[str]) -> dict[str, bytes | None]:
        """Refresh, and fetch these targets verified; None for a path that is not a target.

        Raises:
            RepositoryError, DownloadError: the client refused what it was given.
        """
        metadata, targets = self._folder / "metadata", self._folder / "targets"
        for folder in (metadata, targets):
            folder.mkdir(parents=True, exist_ok=True)
        updater = Updater(
            str(metadata),
            f"{self._url}/tuf/metadata/",
            target_dir=str(targets),
            target_base_url=f"{self._url}/tuf/targets/",
            bootstrap=self._root,
        )
        updater.refresh()
        found: dict[str, bytes | None] = {}
        for path in paths:
            info = updater.get_targetinfo(path)
            found[path] = None if info is None else Path(updater.download_target(info)).read_bytes()
        return found


def pip_install(url: str, name: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Install a project with pip from this index alone, into a folder."""
    command = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "install", "--no-deps"]
    command += ["--no-cache-dir", "--index-url", f"{url}/simple/", "--target", str(folder), name]
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 -- pip, no shell


REFUSED = (RepositoryError, DownloadError)
