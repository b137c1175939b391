"""Caches in front of the index: what of them must be fetched anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Purger(Protocol):
    """Tells caches to drop what carries a surrogate key."""

    def purge(self, keys: Sequence[str]) -> None:
        """Drop all that carries one of these keys, now. Purging what no cache holds is success.

        Args:
            keys: surrogate keys, of `web.surrogates`.

        Raises:
            StoreError: a cache could not be reached or refused; the message says which. The outbox tries again.
        """
        ...
