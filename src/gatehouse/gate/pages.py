"""Rendering a project's pages anew, as target changes. Every story that changes what a page says ends here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

from gatehouse.catalog.model import Project, ProjectPage
from gatehouse.catalog.pages import render_page
from gatehouse.core.names import PageFormat, page_target
from gatehouse.gate.ports import Blobs, Transaction
from gatehouse.tuf.bins import BinLayout
from gatehouse.tuf.model import BinRef, Target, TargetChange


def page_changes(transaction: Transaction, blobs: Blobs, project: Project) -> list[TargetChange]:
    """Render both pages of a project that this transaction has locked, keep them as blobs, and say what changes.

    The blobs are durable before the transaction commits: a crash in between leaves blobs that nothing names,
    never a name without its blob.
    """
    page = ProjectPage(
        name=project.name,
        status=project.status,
        status_reason=project.status_reason,
        files=tuple(transaction.catalog.page_files(project.id)),
    )
    changes = []
    for page_format in get_args(PageFormat):
        data = render_page(page, page_format)
        path = page_target(project.name, page_format)
        target = Target(path=path, sha256=blobs.put(data), length=len(data))
        changes.append(TargetChange(path=path, target=target, cause="page"))
    return changes


def page_removals(project: Project) -> list[TargetChange]:
    """The changes that take a project's pages away."""
    return [
        TargetChange(path=page_target(project.name, page_format), target=None, cause="page-removed")
        for page_format in get_args(PageFormat)
    ]


def in_bins(layout: BinLayout, changes: Iterable[TargetChange]) -> list[tuple[BinRef, TargetChange]]:
    """Each change with the bin that it concerns."""
    return [(layout.bin_of(change.path), change) for change in changes]
