"""Writes the pages of docs/reference/ that the code knows best: settings, command line, checks.

`tools/docs.py` calls it; `make check` compares what it would write with what is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Literal, get_args, get_origin

import click

from gatehouse import cli, settings
from gatehouse.malware.check import Check
from gatehouse.malware.pages import SECTIONS, Page
from gatehouse.malware.registry import Registry
from gatehouse.malware.rules.scan import RuleScan

GENERATED = "<!-- Written by `make docs` from {source}. Change it there. -->\n"
_SETTINGS = """# Settings

Each setting is an environment variable `{prefix}…`, or the same name in lower case and without the prefix in the
TOML file that `{config}` names. An option on the command line wins over the environment, the environment
over the file, the file over the default. `gatehouse config show` prints what is in force and where it came from.
A wrong or unknown setting stops the start with one line that names it.

A duration is a number and a unit: `500ms`, `30s`, `15m`, `12h`, `7d`. A size is in bytes, or a number with `K`,
`M` or `G`.
"""
_CHECKS = """The checks that come with this version; `gatehouse checks list` prints them. *Goes up to* is the
ceiling: the tier that a finding of high confidence reaches
([what the others reach](../explanation/what-screening-promises.md#tiers-and-the-score)).
[How to write one](../how-to/write-a-check.md), and [how one gets here](../explanation/life-of-a-check.md).
"""
_WIDTH = 96
_UNITS = (
    ("d", timedelta(days=1)),
    ("h", timedelta(hours=1)),
    ("m", timedelta(minutes=1)),
    ("s", timedelta(seconds=1)),
)


def settings_page() -> str:
    """docs/reference/settings.md."""
    prefix = settings.PREFIX
    lines = [
        GENERATED.format(source="src/gatehouse/settings.py"),
        _SETTINGS.format(prefix=prefix, config=settings.CONFIG),
        "| environment | default | what |",
        "|---|---|---|",
    ]
    for name, field in settings.Settings.model_fields.items():
        sized = any(part in field.metadata for part in get_args(settings.Size)[1:])
        default = _default(field.default, sized=sized)
        what = " ".join((field.description or "").split()).replace("|", "\\|")
        if get_origin(field.annotation) is Literal:
            what += f" One of {', '.join(f'`{choice}`' for choice in get_args(field.annotation))}."
        lines.append(f"| `{prefix}{name.upper()}` | {default} | {what} |")
    return "\n".join(lines) + "\n"


def _default(value: object, *, sized: bool) -> str:
    if value in ("", None):
        return ""
    if isinstance(value, timedelta):
        return f"`{_duration(value)}`"
    if sized and isinstance(value, int):
        for unit, size in (("G", 1024**3), ("M", 1024**2), ("K", 1024)):
            if value and value % size == 0:
                return f"`{value // size}{unit}`"
    return f"`{value}`"


def _duration(value: timedelta) -> str:
    for unit, size in _UNITS:
        if value and value % size == timedelta(0):
            return f"{value // size}{unit}"
    return f"{value / timedelta(milliseconds=1):g}ms"


def cli_page() -> str:
    """docs/reference/cli.md: what `--help` prints, for every command."""
    lines = [
        GENERATED.format(source="src/gatehouse/cli"),
        "# Command line\n",
        "What `--help` prints. A command that could not do what was asked says so in one line and exits 2.\n",
    ]
    for path, text in _helps(cli.main, "gatehouse", None):
        lines += [f"## {path}\n", f"```text\n{text}\n```\n"]
    return "\n".join(lines).rstrip() + "\n"


def _helps(command: click.Command, name: str, parent: click.Context | None) -> Iterator[tuple[str, str]]:
    context = click.Context(
        command, info_name=name, parent=parent, terminal_width=_WIDTH, color=False, **command.context_settings
    )
    help_text = re.sub(r"[ \t]+$", "", click.unstyle(command.get_help(context)), flags=re.MULTILINE)
    yield context.command_path, help_text.strip()
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            if found is not None and not found.hidden:
                yield from _helps(found, child, context)


def checks_page(registry: Registry) -> str:
    """docs/reference/checks.md: what each check's page says of it, without the examples."""
    checks = registry.all()
    lines = [
        GENERATED.format(source="src/gatehouse/malware/checks"),
        "# Checks\n",
        _CHECKS,
        "| check | version | reads | goes up to | summary |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| [{check.name}](#{check.name}) | {check.version} | {check.kind.value} | {check.ceiling.word} "
        f"| {check.summary} |"
        for check in checks
    ]
    for check in checks:
        lines += ["", _check_section(check, registry.page(check.name))]
    return "\n".join(lines) + "\n"


def _check_section(check: Check, page: Page) -> str:
    counts = [sum(example.expectation == word for example in page.examples) for word in ("flagged", "clean")]
    source = f"../../src/gatehouse/malware/checks/{check.name.replace('-', '_')}"
    suffix = "yar" if isinstance(check.scan, RuleScan) else "py"
    facts = (
        f"Version {check.version}; reads a {check.kind.value}; its findings are {check.classification.value} and "
        f"go up to {check.ceiling.word}. [Its page]({source}.md) has {counts[0]} flagged and {counts[1]} clean "
        f"examples, each of them a test; [its code]({source}.{suffix})."
    )
    parts = [
        f"## {check.name}",
        page.summary,
        facts,
        *(f"**{section}**\n\n{page.sections[section]}" for section in SECTIONS[:-1]),
    ]
    return "\n\n".join(parts)


def pages() -> dict[str, str]:
    """Every generated page, by its path in the repository."""
    return {
        "docs/reference/settings.md": settings_page(),
        "docs/reference/cli.md": cli_page(),
        "docs/reference/checks.md": checks_page(Registry.load()),
    }
