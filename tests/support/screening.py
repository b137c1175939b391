"""Checks, findings and jobs made for tests of the screening wing."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from typing import Any, Literal

from gatehouse.core.digests import sha256_hex
from gatehouse.malware.check import Check, Evidence
from gatehouse.malware.job import Job
from gatehouse.malware.model import Classification, Confidence, Context, Finding, Kind, Subject, Tier
from gatehouse.malware.pages import Example, Page
from gatehouse.malware.registry import Registry
from gatehouse.malware.service import run
from gatehouse.malware.unpack.unpack import DEFAULT, UnpackLimits

FILE = Subject(
    source="local", kind=Kind.FILE, name="example", version="1.0", filename="example-1.0.tar.gz", sha256="0" * 64
)
#: Of the least page that a registry takes.
_EXPECTATIONS: tuple[Literal["flagged", "clean"], ...] = ("flagged", "clean", "clean", "clean")


def nothing(_view: object) -> Iterable[Evidence]:
    """Finds nothing."""
    return ()


def evidence(message: str = "something", confidence: Confidence = Confidence.HIGH, **more: Any) -> Evidence:
    """A piece of evidence."""
    return Evidence(message=message, confidence=confidence, context=more.pop("context", Context.IMPORT), **more)


def check_of(
    scan: Callable[[Any], Iterable[Evidence]] = nothing,
    *,
    name: str = "made-up",
    kind: Kind = Kind.FILE,
    ceiling: Tier = Tier.HOLD,
) -> Check:
    """A check with that scan."""
    return Check(
        name=name,
        version="1",
        kind=kind,
        summary="Made up for a test",
        classification=Classification.SUSPICIOUS,
        ceiling=ceiling,
        scan=scan,
    )


def page_of(check: Check) -> Page:
    """The least page that a registry takes for a check."""
    if check.kind is Kind.FILE:
        examples = tuple(
            Example(expectation=expectation, form="members", line=1, members=(("a.py", ""),))
            for expectation in _EXPECTATIONS
        )
    else:
        examples = tuple(
            Example(expectation=expectation, form="names", line=1, options={"name": "example"})
            for expectation in _EXPECTATIONS
        )
    return Page(name=check.name, summary="Made up.", sections={}, examples=examples)


def registry_of(*checks: Check) -> Registry:
    """A registry of these checks."""
    return Registry((check, page_of(check)) for check in checks)


def finding_of(
    check: str = "made-up", confidence: Confidence = Confidence.HIGH, message: str = "something"
) -> Finding:
    """A finding."""
    return Finding(
        check=check,
        version="1",
        message=message,
        classification=Classification.SUSPICIOUS,
        confidence=confidence,
        context=Context.IMPORT,
    )


def sdist_job(archive: bytes, **more: Any) -> Job:
    """A job that screens an sdist `example-1.0.tar.gz`."""
    subject = Subject(
        source="local",
        kind=Kind.FILE,
        name="example",
        version="1.0",
        filename="example-1.0.tar.gz",
        sha256=sha256_hex(archive),
    )
    return Job(subject=subject, packagetype="sdist", archive_format="tar.gz", display_name="Example", **more)


def findings_of(
    check: str, distribution: tuple[str, bytes], registry: Registry, limits: UnpackLimits = DEFAULT
) -> list[Finding]:
    """What a check of files finds in a distribution, from its bytes on."""
    filename, data = distribution
    wheel = filename.endswith(".whl")
    subject = Subject(
        source="t", kind=Kind.FILE, name="example", version="1.0", filename=filename, sha256=sha256_hex(data)
    )
    job = Job(
        subject=subject,
        packagetype="bdist_wheel" if wheel else "sdist",
        archive_format="zip" if wheel else "tar.gz",
        checks=(check,),
    )
    (screened,) = run(job, io.BytesIO(data), registry, limits=limits).screened
    return list(screened.findings)
