"""Views of files for the checks, from text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from gatehouse.malware.facts.model import Call, ModuleFacts
from gatehouse.malware.model import Kind, Subject
from gatehouse.malware.views import FileView, Member


def file_view(files: Mapping[str, str | bytes], *, kind: Literal["sdist", "bdist_wheel"] = "sdist") -> FileView:
    """A file with these members; an sdist's lie in its one folder."""
    members = []
    for path, text in files.items():
        content = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        members.append(
            Member(
                path=f"example-1.0/{path}" if kind == "sdist" else path,
                size=len(content),
                installed=None if kind == "sdist" else path,
                content=content,
                head=content[:4096],
            )
        )
    subject = Subject(source="test", kind=Kind.FILE, name="example", version="1.0", filename="example-1.0.tar.gz")
    return FileView(subject=subject, packagetype=kind, members=tuple(members))


def module(text: str | bytes, *, path: str = "example/__init__.py") -> ModuleFacts:
    """The facts of one module in a wheel."""
    (facts,) = file_view({path: text}, kind="bdist_wheel").modules
    return facts


def call(facts: ModuleFacts, name: str) -> Call:
    """The one call of that name."""
    (found,) = [known for known in facts.calls if known.name == name]
    return found
