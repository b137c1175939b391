"""A bell between threads of one process. Ringing is a courtesy: a bell unheard costs time, never work."""

from __future__ import annotations

from threading import Event


class Bell:
    """Rung when there is work; waited on by the loop that does it."""

    def __init__(self) -> None:
        self._event = Event()

    def __call__(self) -> None:
        """Ring."""
        self._event.set()

    def wait(self, seconds: float) -> bool:
        """Wait until it rings, at most so long, and silence it; whether it rang."""
        rang = self._event.wait(max(seconds, 0.0))
        self._event.clear()
        return rang
