"""Which content coding a client gets: `Accept-Encoding`, read strictly (RFC 9110 §12.5.3 and §12.4.2).

- No header, or an empty one, is answered without a coding. python-tuf and pip's caches compare bytes and count
  them, and who wants a coding says so.
- The highest weight wins; among equals brotli before gzip before none. What is named wins over `*`.
- What no grammar covers is answered without a coding, as if the header were not there.
- A range is a range of the bytes themselves: who asks for one gets no coding.
"""

from __future__ import annotations

import re

from gatehouse.gate.ports import Coding
from gatehouse.web.problems import NotAcceptable
from gatehouse.web.replies import Reply
from gatehouse.web.request import Request

#: Far above what any client sends.
_MAX_HEADER = 1024
_IDENTITY, _ANY = "identity", "*"
_ELEMENT = re.compile(
    r"(?P<coding>[!#$%&'*+.^_`|~0-9a-z-]+)(?:[ \t]*;[ \t]*q=(?P<weight>0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?",
    re.ASCII | re.IGNORECASE,
)
#: Names that clients of the last century use (RFC 9110 §8.4.1.3).
_ALIASES = {"x-gzip": "gzip"}
# Not named and not excluded: what we have in any case, and like the least (§12.5.3, last paragraph).
_UNNAMED_IDENTITY = 0.0001


def choose_coding(request: Request) -> Coding | None:
    """The coding to answer in; None for the bytes as they are.

    Raises:
        NotAcceptable: the client excludes all that we have.
    """
    weights = parse(request.headers.get("Accept-Encoding"))
    rest = weights.get(_ANY)
    identity = weights.get(_IDENTITY, _UNNAMED_IDENTITY if rest is None else rest)
    offers: list[tuple[float, Coding | None]] = [
        (weights.get(coding.value, rest or 0.0), coding) for coding in Coding
    ]
    weight, chosen = max([*offers, (identity, None)], key=lambda offer: offer[0])
    if weight == 0:
        raise NotAcceptable(f"This comes as {', '.join(Coding)} or without a coding; you take none of these.")
    return None if "Range" in request.headers and identity > 0 else chosen


def parse(header: str | None) -> dict[str, float]:
    """The weight of each coding that a header names, in lower case; nothing of one that is not well-formed."""
    if header is None or len(header) > _MAX_HEADER:
        return {}
    weights: dict[str, float] = {}
    for text in header.split(","):
        if not (element := text.strip(" \t")):
            # Empty elements of a list are passed over (§5.6.1).
            continue
        match = _ELEMENT.fullmatch(element)
        if match is None:
            return {}
        name = match["coding"].lower()
        name = _ALIASES.get(name, name)
        if name in weights:
            # Said twice, it may mean either.
            return {}
        weights[name] = float(match["weight"] or 1)
    return weights


def varying(reply: Reply, *headers: str) -> Reply:
    """The reply, saying that it depends on the coding that the client takes, and on these headers before that."""
    reply.headers["Vary"] = ", ".join([*headers, "Accept-Encoding"])
    return reply
