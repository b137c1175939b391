"""A span of time as a command's option takes it: `90s`, `10m`, `1h`, `1d`."""

from __future__ import annotations

import re
from datetime import timedelta

import click

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SPAN = re.compile(r"(\d{1,9})([smhd])", re.ASCII)


class _Span(click.ParamType[timedelta]):
    name = "span"

    def convert(
        self, value: str | timedelta, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        if isinstance(value, timedelta):
            return value
        match = _SPAN.fullmatch(value)
        if match is None or not int(match[1]):
            self.fail(f"{value!r} is no span of time: write 90s, 10m, 1h or 1d.", param, ctx)
        return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


#: The type of an option that takes a span of time, of a second or more.
SPAN = _Span()
