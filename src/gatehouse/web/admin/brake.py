"""A brake on log-ins: each costs a tenth of a second and 64 MiB by design, and nobody should burn more of that."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

from gatehouse.web.problems import Busy

_MINUTE = 60.0


class Brake:
    """Lets so many pass in a minute, and so few at once. Counts for this process, whoever they are."""

    def __init__(
        self, *, a_minute: int = 20, at_once: int = 2, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._a_minute = a_minute
        self._at_once = at_once
        self._monotonic = monotonic
        self._began: deque[float] = deque()
        self._inside = 0
        self._lock = Lock()

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Pass, for as long as the block runs.

        Raises:
            Busy: too many have passed, or are passing.
        """
        with self._lock:
            now = self._monotonic()
            while self._began and now - self._began[0] >= _MINUTE:
                self._began.popleft()
            if len(self._began) >= self._a_minute or self._inside >= self._at_once:
                raise Busy("Too many log-ins are being tried; wait a minute and try again.")
            self._began.append(now)
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
