"""Which page of a list is asked for."""

from __future__ import annotations

import re

from gatehouse.core.errors import NotFound
from gatehouse.web.request import Request

_NUMBER = re.compile(r"[0-9]{1,6}")


def page_number(request: Request) -> int:
    """`?page=`, from 1; the first without it.

    Raises:
        NotFound: it is no number.
    """
    stated = request.GET.get("page", "1")
    if _NUMBER.fullmatch(stated) is None:
        raise NotFound("There is no such page.")
    return int(stated)
