"""A loop in a thread: does its round, waits for its bell, survives errors, says how it is."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from threading import Event, Thread

import structlog

from gatehouse.gate.bell import Bell

log = structlog.get_logger(__name__)
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0


class Loop(ABC):
    """Runs `round` again and again until stopped. After an error it pauses, longer each time, with jitter."""

    def __init__(self, name: str, bell: Bell) -> None:
        self.name = name
        self._bell = bell
        self._stop = Event()
        self._thread = Thread(target=self._run, name=self.name, daemon=True)
        self._errors = 0
        self.fault: str | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, seconds: float = 10.0) -> None:
        """Finish the round under way and end."""
        self._stop.set()
        self._bell()
        if self._thread.is_alive():
            self._thread.join(seconds)

    @property
    def stopping(self) -> bool:
        """Whether the loop was told to stop."""
        return self._stop.is_set()

    @abstractmethod
    def round(self) -> float:
        """Do what there is to do; how many seconds to wait at most before the next round."""

    def close(self) -> None:
        """Tidy up after the last round."""
        log.debug("ended", loop=self.name)

    def _run(self) -> None:
        try:
            while not self.stopping:
                self._bell.wait(self._one_round())
        finally:
            self.close()

    def _one_round(self) -> float:
        try:
            pause = self.round()
        except Exception:
            self._errors += 1
            # Shown in /readyz to whoever asks, so it holds nothing of the error; the log has all of it.
            self.fault = f"The {self.name} loop failed {self._errors} times in a row; the log says why."
            log.exception("round failed", loop=self.name, errors=self._errors)
            longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(self._errors - 1, 10))
            return longest * random.uniform(0.5, 1.0)  # noqa: S311 -- jitter, not a secret
        self._errors = 0
        self.fault = None
        return pause
