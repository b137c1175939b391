"""Forms as browsers send them, and the proof that it was one of our own pages that sent them.

A POST is taken only with an `Origin` (or, without one, a `Referer`) that is this very address, no
`Sec-Fetch-Site` that says otherwise, and the token that the page put into the form. Each alone would do in
today's browsers.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from urllib.parse import parse_qsl

from gatehouse.core.errors import CallerError, NotAllowed, TooLarge
from gatehouse.gate.ports import Action
from gatehouse.web.request import Request

MAX_BODY = 64 * 1024
TOKEN_FIELD = "token"  # noqa: S105 - the name of a field
#: A page of files, each with its box, and what else stands in a form.
_MAX_FIELDS = 64
_FORM_TYPE = "application/x-www-form-urlencoded"
_FOREIGN = "This form did not come from this page: open the page again and repeat it there."


def require_own_page(request: Request) -> None:
    """Refuse what the page of another site sent.

    Raises:
        NotAllowed: it did, or it cannot be told.
    """
    own = f"{request.scheme}://{request.headers.get('Host', '')}".lower()
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    origin = request.headers.get("Origin")
    if origin is not None:
        is_own = origin.lower() == own
    else:
        is_own = request.headers.get("Referer", "").lower().startswith(own + "/")
    if site != "same-origin" or not is_own:
        raise NotAllowed(_FOREIGN)


def read_form(request: Request) -> Mapping[str, str]:
    """The fields of a form, each of which may come once.

    Raises:
        TooLarge: it is longer than 64 KiB.
        CallerError: it is not such a form.
    """
    content_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if content_type != _FORM_TYPE:
        raise CallerError(f"A form must come as {_FORM_TYPE}.")
    body = b"" if (request.content_length or 0) > MAX_BODY else request.body_file.read(MAX_BODY + 1)
    if (request.content_length or len(body)) > MAX_BODY or len(body) > MAX_BODY:
        raise TooLarge(f"A form has at most {MAX_BODY} bytes.")
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS
        )
    except ValueError as error:
        raise CallerError("The form cannot be read.") from error
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise CallerError("A field of the form came twice.")
    return fields


def require_token(fields: Mapping[str, str], expected: str) -> None:
    """Refuse a form that does not carry the token of this session.

    Raises:
        NotAllowed: it does not.
    """
    if not hmac.compare_digest(fields.get(TOKEN_FIELD, "").encode(), expected.encode()):
        raise NotAllowed(_FOREIGN)


def action_of(fields: Mapping[str, str]) -> Action:
    """What the form says should happen.

    Raises:
        CallerError: nothing, or something unknown.
    """
    try:
        return Action(fields.get("action", ""))
    except ValueError as error:
        raise CallerError(f"Choose what should happen: one of {', '.join(Action)}.") from error
