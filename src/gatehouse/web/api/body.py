"""JSON bodies of the API: small, strict, and with the path to the fault in the error."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from gatehouse.core.errors import CallerError, TooLarge
from gatehouse.web.request import Request

MAX_BODY = 64 * 1024


def read_object(
    request: Request, *, required: Collection[str] = (), optional: Collection[str] = ()
) -> dict[str, str | None]:
    """The body as a JSON object whose values are texts, or null where optional. No body is an empty object.

    Raises:
        TooLarge: the body exceeds 64 KiB.
        CallerError: it is not such an object, or its fields are not these.
    """
    raw = request.body_file.read(MAX_BODY + 1)
    if len(raw) > MAX_BODY:
        raise TooLarge(f"A body of this API has at most {MAX_BODY} bytes.")
    fields = _parse(request, raw) if raw else {}
    unknown = sorted(fields.keys() - set(required) - set(optional))
    if unknown:
        raise CallerError(f"Unknown field {unknown[0][:80]!r} in the body.")
    for name in required:
        if not isinstance(fields.get(name), str):
            raise CallerError(f"The body must hold {name!r} as a text.")
    for name in optional:
        if not isinstance(fields.get(name), str | None):
            raise CallerError(f"{name!r} in the body must be a text or null.")
    return fields


def _parse(request: Request, raw: bytes) -> dict[str, Any]:
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise CallerError("A body of this API has the Content-Type application/json.")
    try:
        value = json.loads(raw.decode(), object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise CallerError("The body is not valid JSON.") from error
    if not isinstance(value, dict):
        raise CallerError("The body must be a JSON object.")
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a field appears twice")
    return fields


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
