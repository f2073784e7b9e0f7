"""What an output folder of `prepare` holds: files with hashes, documents with places, and what was measured.

Knows nothing of how tokens are made or used.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from fabric.config.settings import Settings
from fabric.core.errors import Corrupt, NotFound
from fabric.data.files import unread

MANIFEST = "manifest.json"
"""Name of the file that makes a folder a data set; written last, so that a folder without it is unfinished."""
VERSION_DIGITS = 12
"""Hexadecimal digits of a version."""

Split = Literal["train", "held_out"]
"""`train` is what a model may see; `held_out` is what it is judged on."""


class FileRecord(Settings):
    """One file of the data set."""

    path: str
    """Place below the folder of the manifest."""

    bytes: int = Field(ge=0)
    """Size in bytes."""

    sha256: str
    """Hash of the contents, in hexadecimal digits."""


class Document(Settings):
    """One text inside a split's token stream."""

    name: str
    """Name of the text."""

    start: int = Field(ge=0)
    """Position of its first token, which begins the text, in the whole stream of its split."""

    tokens: int = Field(ge=2)
    """Its tokens, with the one that begins and the one that ends a text."""

    bytes: int = Field(ge=0)
    """Its cleaned text in UTF-8 bytes."""


class SplitRecord(Settings):
    """The token stream of one split: its shards, one after the other."""

    shards: tuple[str, ...]
    """Paths of the shards in order, each a flat uint16 array in NumPy's format."""

    shard_tokens: tuple[int, ...]
    """Tokens in each shard."""

    documents: tuple[Document, ...]
    """Texts in the order of the stream."""

    @property
    def tokens(self) -> int:
        """Tokens of the whole stream."""
        return sum(self.shard_tokens)

    @property
    def bytes(self) -> int:
        """UTF-8 bytes of the texts behind the tokens."""
        return sum(document.bytes for document in self.documents)


class Parent(Settings):
    """What this was made from."""

    name: str
    """Name of the parent."""

    version: str
    """Its content hash."""


class DatasetManifest(Settings):
    """Everything a reader needs, and everything a person asks about later."""

    kind: Literal["dataset"] = "dataset"
    """What the folder is."""

    version: str
    """Content hash of the files; equal data have equal versions, whoever made them on however many workers."""

    recipe: str
    """Hash of all that decides the contents (settings, source, format): equal recipes need not be run again."""

    config: dict[str, Any]
    """The settings it was made with."""

    parents: tuple[Parent, ...]
    """The corpus it was made from."""

    metrics: dict[str, float]
    """What was measured, such as `xz_bits_per_byte` and `removed_texts`."""

    decisions: dict[str, str]
    """Name of every text of the corpus, with what became of it and why."""

    vocab_size: int = Field(ge=1, le=2**16)
    """Size of the tokenizer's vocabulary; every token fits two bytes."""

    tokenizer: str
    """Folder that `AutoTokenizer.from_pretrained` reads."""

    splits: dict[Split, SplitRecord]
    """The token streams."""

    files: tuple[FileRecord, ...]
    """Every file but the manifest."""


def content_version(files: Iterable[FileRecord]) -> str:
    """The version of a set of files: depends on their contents and on where below the version's folder they are."""
    lines = sorted(f"{file.sha256} {file.bytes} {file.path}" for file in files)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:VERSION_DIGITS]


def recipe_version(parts: object) -> str:
    """Hash of any JSON value, the same for equal values."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:VERSION_DIGITS]


def read_manifest(folder: Path) -> DatasetManifest:
    """Read the manifest in `folder`.

    Raises:
        NotFound: If there is none, which means that the stage has not finished there.
        Corrupt: If it is no manifest of a data set.
        Unavailable: If it cannot be read at the moment.
    """
    path = folder / MANIFEST
    try:
        return DatasetManifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise NotFound(f"{folder} holds no data set: {MANIFEST} is missing. Run the prepare stage first.") from None
    except OSError as error:
        refused = unread(path, error, "Run the prepare stage again.")
        raise refused from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "top level"
        raise Corrupt(
            f"{path}: is no manifest of a data set ({place}: {first['msg']}). Run the prepare stage again.",
            path=str(path),
        ) from None


def verify_file(folder: Path, record: FileRecord, *, contents: bool = True) -> None:
    """Check that a file of the data set is what was written.

    Args:
        folder: Folder of the manifest.
        record: The file.
        contents: Hash the contents too; otherwise only the size is compared.

    Raises:
        Corrupt: If it is missing, has another size or other contents.
        Unavailable: If it cannot be read at the moment.
    """
    path = folder / record.path
    remedy = "Run the prepare stage again with the same config to write it anew."
    try:
        size = path.stat().st_size
        if size != record.bytes:
            raise Corrupt(f"{path}: has {size} bytes, expected {record.bytes}. {remedy}", path=str(path))
        if contents and file_sha256(path) != record.sha256:
            raise Corrupt(f"{path}: its sha256 is not the one in {MANIFEST}. {remedy}", path=str(path))
    except FileNotFoundError:
        raise Corrupt(f"{path}: is missing, but {MANIFEST} names it. {remedy}", path=str(path)) from None
    except OSError as error:
        refused = unread(path, error, remedy)
        raise refused from None


def file_sha256(path: Path) -> str:
    """Hash of a file's contents, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
