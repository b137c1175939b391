"""Ciphers, nested archives and the facts of a file work in a child too, which can open and import nothing."""

from __future__ import annotations

import base64
import bz2
import gzip
import json
import lzma
import os
import pickle
import random
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from gatehouse.malware.job import Job, Report
from gatehouse.malware.model import Kind, Subject
from gatehouse.sandbox.screener import ZygoteScreener
from tests.support.distributions import build_wheel, tar_bytes, zip_bytes

KEY = base64.urlsafe_b64encode(b"k" * 32)
BYTES = b"0123456789abcdef"


class Runs:
    """Unpickling this would start a program; it is only ever pickled here."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.popen, ("echo inert",)


@pytest.fixture(scope="module")
def screener() -> Iterator[ZygoteScreener]:
    with ZygoteScreener() as screener:
        yield screener


def report_on(screener: ZygoteScreener, folder: Path, files: dict[str, str | bytes]) -> Report:
    filename, content = build_wheel("aloe", "1.0", files=files)
    archive = folder / filename
    archive.write_bytes(content)
    subject = Subject(
        source="local",
        kind=Kind.FILE,
        name="aloe",
        version="1.0",
        filename=filename,
        sha256=sha256(content).hexdigest(),
    )
    job = Job(subject=subject, packagetype="bdist_wheel", archive_format="zip", with_summary=True)
    return screener.screen(job, archive)


def acts(report: Report) -> set[str]:
    assert report.incomplete_reason is None
    assert report.summary is not None
    return {name for _, name in report.summary.acts}


def test_what_is_encrypted_is_read(screener: ZygoteScreener, tmp_path: Path) -> None:
    token = Fernet(KEY).encrypt(b"import os\nos.system('echo inert')")
    encryptor = Cipher(algorithms.AES(BYTES), modes.CTR(BYTES)).encryptor()
    hidden = encryptor.update(b"import subprocess\nsubprocess.run(['true'])")
    source = (
        "from cryptography.fernet import Fernet\n"
        "from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes\n"
        f"exec(Fernet({KEY!r}).decrypt({token!r}))\n"
        f"d = Cipher(algorithms.AES({BYTES!r}), modes.CTR({BYTES!r})).decryptor()\nexec(d.update({hidden!r}))\n"
    )

    assert {"os.system", "subprocess.run"} <= acts(report_on(screener, tmp_path, {"aloe/__init__.py": source}))


def test_codecs_of_all_kinds_are_read(screener: ZygoteScreener, tmp_path: Path) -> None:
    source = "exec(b'import os\\nos.system(+ACc-echo inert+ACc-)'.decode('utf-7'))\nx = 'a'.encode('idna')"

    assert "os.system" in acts(report_on(screener, tmp_path, {"aloe/__init__.py": source}))


def test_archives_inside_notebooks_and_pickles_are_read(screener: ZygoteScreener, tmp_path: Path) -> None:
    cell = {
        "cell_type": "code",
        "source": ["!curl https://notebook.invalid/x\n", "import runpy\nrunpy.run_path('x')"],
    }
    inner = [("inner.py", "import requests\nrequests.get('https://inner.invalid/')\n")]
    files: dict[str, str | bytes] = {
        "aloe/book.ipynb": json.dumps({"cells": [cell]}),
        "aloe/model.pkl": pickle.dumps(Runs()),
        "aloe/a.zip": zip_bytes([("b.tar.gz", gzip.compress(tar_bytes(inner)))]),
        "aloe/c.tar.bz2": bz2.compress(tar_bytes(inner)),
        "aloe/d.tar.xz": lzma.compress(tar_bytes(inner)),
        "aloe/e.pyc": b"\xa7\r\r\n" + bytes(20),
        "aloe/f.so": b"\x7fELF" + bytes(100),
        "aloe-1.0.dist-info/entry_points.txt": "[console_scripts]\naloe = aloe:main\n",
    }
    report = report_on(screener, tmp_path, files)

    assert {"os.system", "runpy.run_path", "os.popen", "requests.get"} <= acts(report)
    assert report.summary is not None
    assert report.summary.hosts == {"inner.invalid", "notebook.invalid"}
    assert report.summary.entry_points == {"console_scripts:aloe=aloe:main"}


def test_archives_within_archives_stay_within_the_memory_of_a_child(
    screener: ZygoteScreener, tmp_path: Path
) -> None:
    noise = random.Random(1).randbytes(3 * 1024**2)  # noqa: S311 -- bytes that do not compress, no secret
    deepest = zip_bytes([("noise.bin", noise), ("deep.py", "import os\nos.system('echo inert')\n")])
    middle = zip_bytes([("deepest.zip", deepest), ("noise.py", b"#" + noise.hex().encode()[: 4 * 1024**2])])
    files: dict[str, str | bytes] = {
        f"aloe/{number}.zip": zip_bytes([("middle.zip", middle), ("more.bin", noise * 2)]) for number in range(3)
    }

    assert "os.system" in acts(report_on(screener, tmp_path, files))
