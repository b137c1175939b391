"""Reads a document's code blocks, so that what a page shows can be run.

How a page says what is to happen, in comments that a reader does not see:

- `<!-- test: server -->` before a block: the test has started the server already; the block is not run.
- `<!-- test: skip -->` before a block: not run (it makes the environment in which the test runs).
- `<!-- test: save as NAME -->` before a block: its text becomes a file in the working folder, or below it.
- `<!-- test: run` … `-->`: commands that only the test needs, such as waiting for what a reader just sees.

In a `console` block, a line behind `$ ` is a command, `> ` carries it on, and all else is what it prints: each
line must come, in this order, with `…` for what differs. `127.0.0.1:6458` becomes the test server's address.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ADDRESS = "127.0.0.1:6458"
_BLOCK = re.compile(
    r"^<!-- test: run\n(?P<run>.*?)^-->$"
    r"|(?:^<!-- test: (?P<word>skip|server|save as (?P<name>[\w./]+)) -->\n)?"
    r"^(?P<fence>`{3,})(?P<language>\w+)\n(?P<text>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A command of a page, and the lines that it must print."""

    command: str
    prints: tuple[str, ...]


def read_steps(page: Path, address: str) -> list[Step]:
    """Read a page; `address` is the host and port of the server to walk through."""
    steps: list[Step] = []
    for block in _BLOCK.finditer(page.read_text(encoding="utf-8").replace(ADDRESS, address)):
        if block["run"]:
            steps.append(Step(command=block["run"].strip(), prints=()))
        elif block["name"]:
            steps.append(Step(command=f"cat > {block['name']} <<'SAVED'\n{block['text']}SAVED", prints=()))
        elif block["language"] == "console" and not block["word"]:
            steps.extend(_steps(block["text"]))
    return steps


def blocks(page: Path, language: str) -> list[str]:
    """The texts of all blocks of a language."""
    found = _BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [block["text"] for block in found if block["language"] == language]


def is_printed(expected: tuple[str, ...], output: str) -> bool:
    """Whether the output has these lines, in this order; `…` stands for anything, alone for any lines."""
    rest = iter(output.splitlines())
    for line in expected:
        if line.strip() == "…":
            continue
        pattern = re.compile(".*".join(re.escape(part) for part in line.strip().split("…")))
        if not any(pattern.fullmatch(printed.strip()) for printed in rest):
            return False
    return True


def _steps(text: str) -> list[Step]:
    steps: list[Step] = []
    command: list[str] = []
    prints: list[str] = []
    for line in [*text.splitlines(), "$ "]:
        if line.startswith("$ "):
            if command:
                steps.append(Step(command="\n".join(command), prints=tuple(prints)))
            command, prints = [line[2:]], []
        elif command and not prints and (line == ">" or line.startswith("> ")):
            command.append(line[2:])
        else:
            prints.append(line)
    return steps
