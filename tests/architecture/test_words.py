"""Text that must not be in any file of the repository.

Forbidden words are put together from pieces, so that this file does not hold them.
"""

import re
from pathlib import Path

from tests.architecture.tree import ROOT, place, repository_files, text_of

REGISTRIES = (
    "pypi" + ".org",
    "pypi" + ".io",
    "python" + "hosted",
    "proxy." + "golang",
    "sum." + "golang",
    "registry." + "npmjs",
    ".crates" + ".io",
    "repo1." + "maven",
    "repo." + "maven",
    "deb." + "debian",
)
MARKS = ("TO" + "DO", "FIX" + "ME", "XX" + "X:")
LARGEST_BYTES = 2**20


def _lines_with(pattern: str, *skipped: str) -> list[str]:
    """Places that match; `skipped` are endings of file names."""
    wanted = re.compile(pattern)
    return [
        place(file, number)
        for file in repository_files()
        if not file.name.endswith(skipped)
        for number, line in enumerate(text_of(file).splitlines(), start=1)
        if wanted.search(line)
    ]


def test_no_file_names_a_package_registry() -> None:
    assert _lines_with("|".join(re.escape(host) for host in REGISTRIES)) == []


def test_no_file_has_a_path_of_one_machine() -> None:
    here = [re.escape(f"{folder}/") for folder in (ROOT, Path.home())]
    assert _lines_with("|".join([*here, "/home" + "/(?!ray/)[a-z]", "/Use" + "rs/[a-z]"])) == []


def test_no_work_is_left_marked_in_the_code() -> None:
    assert _lines_with(r"\b(" + "|".join(MARKS) + r")\b", ".lock") == []


def test_no_file_is_large() -> None:
    sizes = {place(file): file.stat().st_size for file in repository_files()}
    assert {name: size for name, size in sizes.items() if size > LARGEST_BYTES} == {}
