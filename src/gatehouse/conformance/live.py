"""Fetching from a live repository: bounded in bytes and time, and never from https to http.

It is asked as a client would ask, one request at a time. Whoever answers may be hostile or broken: a body that
drips or does not end is given up, and what is longer than a client takes is refused by python-tuf's own limits.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final
from urllib.parse import urljoin, urlsplit

import urllib3
from tuf.api.exceptions import DownloadError, DownloadHTTPError, SlowRetrievalError
from tuf.ngclient.fetcher import FetcherInterface

from gatehouse.core.errors import CallerError

_CHUNK: Final = 64 * 1024
_REDIRECTS: Final = 3
_FIRST_ERROR: Final = 400
_AGENT: Final = "gatehouse-observe"


class LiveFetcher(FetcherInterface):
    """Fetches over http or https and keeps what each URL answered.

    Args:
        seconds: how long one file may take, from the request to its last byte.
        budget: how many bytes all files together may have, until `begin` is called again.
    """

    def __init__(self, *, seconds: float = 60.0, budget: int = 256 * 1024 * 1024) -> None:
        self.answers: dict[str, bytes | None] = {}
        self._seconds = seconds
        self._budget = self._left = budget
        self._pool = urllib3.PoolManager(headers={"User-Agent": _AGENT})

    def begin(self) -> None:
        """Forget what was answered; the budget is whole again."""
        self.answers = {}
        self._left = self._budget

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def _fetch(self, url: str) -> Iterator[bytes]:
        deadline = time.monotonic() + self._seconds
        response = self._open(url, deadline)
        if response.status >= _FIRST_ERROR:
            response.close()
            self.answers[url] = None
            raise DownloadHTTPError(f"{url} was answered with {response.status}", response.status)
        return self._body(url, response, deadline)

    def _open(self, url: str, deadline: float) -> urllib3.BaseHTTPResponse:
        secure = urlsplit(url).scheme == "https"
        for _ in range(_REDIRECTS + 1):
            left = deadline - time.monotonic()
            if left <= 0:
                raise SlowRetrievalError
            response = self._pool.request(
                "GET", url, preload_content=False, redirect=False, retries=False, timeout=urllib3.Timeout(left)
            )
            target = response.get_redirect_location()
            if not target:
                return response
            response.close()
            url = urljoin(url, target)
            if urlsplit(url).scheme not in ({"https"} if secure else {"http", "https"}):
                raise DownloadError(
                    f"It was redirected to {url[:200]}, which is less safe than what was asked for."
                )
        raise DownloadError(f"It was redirected more than {_REDIRECTS} times.")

    def _body(self, url: str, response: urllib3.BaseHTTPResponse, deadline: float) -> Iterator[bytes]:
        body = bytearray()
        try:
            while chunk := response.read1(_CHUNK):
                self._left -= len(chunk)
                if self._left < 0:
                    raise DownloadError(f"The repository sends more than {self._budget:,} bytes in one walk.")
                if time.monotonic() > deadline:
                    raise SlowRetrievalError
                body += chunk
                yield chunk
        except urllib3.exceptions.TimeoutError as error:
            raise SlowRetrievalError from error
        except urllib3.exceptions.HTTPError as error:
            raise DownloadError(f"{url} broke off: {error}") from error
        finally:
            response.close()
        self.answers[url] = bytes(body)


def check_url(url: str) -> str:
    """A repository's base URL, with a slash at its end.

    Raises:
        CallerError: it is no http or https URL.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise CallerError(f"{url[:200]!r} is not the http or https URL of a folder.")
    return url if url.endswith("/") else f"{url}/"
