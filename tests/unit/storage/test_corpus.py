"""A corpus names archives and reads them into memory; what is not of the form is refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatehouse.core.errors import CallerError, NotFound
from gatehouse.malware.evaluation.model import Label
from gatehouse.storage.corpus import FILE, Corpus
from tests.support.corpora import HIDDEN, make_samples, sdist, wheel

TOML = """
[[malicious]]
list = "families.tsv"
repository = "samples.git"
commit = "main"
[[benign]]
folder = "benign"
"""
LIST = "cluster\tpath_in_git\tpayload_where\tmore\n"
ROWS = "first\talmond/1.0/almond-1.0.tar.gz\tsetup.py\t\nsecond\tcherry/1.0/cherry-1.0.tar.gz\tother .py\t\n"


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    make_samples(folder)
    return folder


def written(folder: Path, *, toml: str = TOML, rows: str = LIST + ROWS) -> Path:
    (folder / FILE).write_text(toml)
    (folder / "families.tsv").write_text(rows)
    return folder


def test_archives_come_from_git_objects_and_folders(samples: Path) -> None:
    with Corpus.open(written(samples)) as corpus:
        assert [(each.group, each.place, each.label) for each in corpus.specimens] == [
            ("first", "setup.py", Label.MALICIOUS),
            ("second", "other .py", Label.MALICIOUS),
            ("fig", "sdist", Label.BENIGN),
            ("grape", "wheel", Label.BENIGN),
        ]
        contents = [corpus.read(each) for each in corpus.specimens]
    assert contents == [sdist("almond", HIDDEN), wheel("cherry"), sdist("fig"), wheel("grape")]


def test_a_path_that_the_repository_lacks_is_an_error_and_the_next_is_read_all_the_same(samples: Path) -> None:
    rows = LIST + ROWS.replace("almond-1.0", "gone-1.0")
    with Corpus.open(written(samples, rows=rows)) as corpus:
        gone, there = corpus.specimens[:2]
        with pytest.raises(NotFound, match=r"gone-1\.0"):
            corpus.read(gone)
        assert corpus.read(there) == wheel("cherry")


@pytest.mark.parametrize("name", ["x\nmain:almond/1.0/almond-1.0.tar.gz", "../almond", "a\x00b"])
def test_a_name_that_would_be_another_request_is_refused(samples: Path, name: str) -> None:
    folder = written(samples, rows=f'{LIST}first\t"{name}"\tsetup.py\t\n')
    with Corpus.open(folder) as corpus, pytest.raises(NotFound, match="no path"):
        corpus.read(corpus.specimens[0])


@pytest.mark.parametrize(
    ("toml", "rows", "fault"),
    [
        ("name = ", LIST, "not TOML"),
        ("[[other]]\n", LIST, "'other' is not known"),
        ("", LIST, "names no archive"),
        ('[malicious]\nlist = "x"\n', LIST, "not a list of tables"),
        ("[[benign]]\nfolder = 1\n", LIST, "exactly these texts: folder"),
        ('[[benign]]\nfolder = "nowhere"\n', LIST, "There is no folder"),
        (TOML.replace("samples.git", "nowhere"), LIST, "There is no commit"),
        (TOML.replace('"main"', '"--all"'), LIST, "There is no commit"),
        (TOML, "cluster\tpath_in_git\n", "no column payload_where"),
        (TOML, LIST + "first\t\tsetup.py\t\n", "line 2: a column is empty"),
        (TOML.replace("families", "nothing"), LIST, "cannot be read"),
    ],
)
def test_what_is_not_of_the_form_is_refused(samples: Path, toml: str, rows: str, fault: str) -> None:
    with pytest.raises(CallerError, match=fault):
        Corpus.open(written(samples, toml=toml, rows=rows))
