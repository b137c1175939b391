"""The checks as this process has them: loaded when they are first asked for, and anew when somebody asks for that.

To ask for it is only a wish, which a signal handler may utter; whoever loads takes the wish and does it. What was
loaded before goes on until the new checks are whole.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Lock

from gatehouse.gate.bell import Bell
from gatehouse.malware.registry import Registry


class LoadedChecks:
    """Gives the checks. Safe to use from many threads.

    `bell` rings when they are wished anew.
    """

    def __init__(self, load: Callable[[], Registry], *, again: Callable[[], Registry] | None = None) -> None:
        """Take what loads them, and what loads them anew, where that is something else."""
        self.bell = Bell()
        self._load = load
        self._again = again or load
        self._lock = Lock()
        self._loaded: Registry | None = None
        self._wished = Event()

    def __call__(self) -> Registry:
        """The checks, loaded now if they were not yet: most commands never ask.

        Raises:
            InvalidCheck: one of Gatehouse's own is not whole.
        """
        with self._lock:
            if self._loaded is None:
                self._loaded = self._load()
            return self._loaded

    def wish(self) -> None:
        """Ask that they be loaded anew."""
        self._wished.set()
        self.bell()

    def take_wish(self) -> bool:
        """Whether somebody asked since this was last asked."""
        wished = self._wished.is_set()
        self._wished.clear()
        return wished

    def reload(self) -> Registry:
        """Load them anew; those of before stay if that fails.

        Raises:
            InvalidCheck: one of Gatehouse's own is not whole.
        """
        fresh = self._again()
        with self._lock:
            self._loaded = fresh
        return fresh
