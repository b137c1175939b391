"""Varnish, purged by xkey: implements `gate.ports.Purger`.

`PURGE /` with the keys in `xkey`, to every Varnish; docs/reference/gatehouse.vcl answers it. A Varnish that was
restarted is empty, and one that cannot be reached may hold what is old: then the whole purge is tried again, for
all, since purging twice is harmless.
"""

from __future__ import annotations

from collections.abc import Sequence

from gatehouse.core.errors import StoreError
from gatehouse.gate.purge import is_soft
from gatehouse.storage.purging.calls import Caller, pieces


class VarnishPurger:
    """Purges one Varnish or several."""

    def __init__(self, addresses: Sequence[str], *, soft: bool = False) -> None:
        """Purge each of these.

        Args:
            addresses: the base URL of each.
            soft: whether what changed may be handed out once more while it is fetched anew; what left never is.
        """
        self._addresses = [f"{address.rstrip('/')}/" for address in addresses]
        self._soft = soft
        self._caller = Caller()

    def purge(self, keys: Sequence[str]) -> None:
        """Purge all that carries one of these keys, in every Varnish that can be reached.

        Raises:
            StoreError: one or more could not be reached, or refused. The others have been purged.
        """
        faults: list[StoreError] = []
        for address in self._addresses:
            try:
                self._purge(address, keys)
            except StoreError as error:
                faults.append(error)
        if faults:
            raise StoreError(" ".join(fault.message for fault in faults)) from faults[0]

    def _purge(self, address: str, keys: Sequence[str]) -> None:
        softly = [key for key in keys if self._soft and is_soft(key)]
        # What must go is told first.
        for header, chosen in (("xkey", [key for key in keys if key not in softly]), ("xkey-soft", softly)):
            for piece in pieces(chosen):
                self._caller.call("PURGE", address, {header: piece}, whom=f"Varnish at {address}")
