"""python-tuf's own client against a house, without a network: the fetcher reads what the web would serve."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient.fetcher import FetcherInterface
from tuf.ngclient.updater import Updater

from gatehouse.wiring import Gatehouse

_METADATA = "http://house.invalid/metadata/"
_TARGETS = "http://house.invalid/targets/"


class _Fetcher(FetcherInterface):
    def __init__(self, gatehouse: Gatehouse) -> None:
        self._gatehouse = gatehouse

    def _fetch(self, url: str) -> Iterator[bytes]:
        if url.startswith(_METADATA):
            data = self._gatehouse.metadata_store.read(url.removeprefix(_METADATA))
        else:
            served = self._gatehouse.shelf.target(url.removeprefix(_TARGETS))
            data = None
            if served is not None:
                with self._gatehouse.blobs.open(served.sha256) as blob:
                    data = blob.read()
        if data is None:
            raise DownloadHTTPError(f"no {url}", 404)
        yield data


class Client:
    """A client with a memory of its own, started from the first root."""

    def __init__(self, gatehouse: Gatehouse, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._gatehouse = gatehouse
        self._folder = folder
        root = gatehouse.metadata_store.read("1.root.json")
        assert root is not None
        self._root = root

    def get(self, *paths: str) -> dict[str, bytes | None]:
        """Refresh and fetch these targets, verified; None for a path that is no target."""
        updater = self._refreshed()
        found: dict[str, bytes | None] = {}
        for path in paths:
            info = updater.get_targetinfo(path)
            found[path] = None if info is None else Path(updater.download_target(info)).read_bytes()
        return found

    def knows(self, path: str) -> bool:
        """Refresh, and say whether the path is a target; its content is not fetched."""
        return self._refreshed().get_targetinfo(path) is not None

    def _refreshed(self) -> Updater:
        updater = Updater(
            str(self._folder),
            _METADATA,
            target_dir=str(self._folder),
            target_base_url=_TARGETS,
            fetcher=_Fetcher(self._gatehouse),
            bootstrap=self._root,
        )
        updater.refresh()
        return updater
