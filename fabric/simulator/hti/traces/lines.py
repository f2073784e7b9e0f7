"""Lines and cells of a trace file, with errors that name file and line.

Knows nothing of what the columns mean.
"""

import csv
import gzip
import io
import math
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fabric.core.errors import BadInput, Corrupt, NotFound


@dataclass(frozen=True, slots=True)
class Row:
    """One line: its cells by column, and where it is."""

    path: str
    line: int
    cells: Mapping[str, str]

    def wrong(self, column: str, wish: str) -> BadInput:
        """The error that says what `column` should have held."""
        given = self.cells.get(column, "")
        return BadInput(
            f"{self.path}:{self.line}: {column} must be {wish}, but is {given!r}. Correct or remove the line.",
            path=self.path,
            line=self.line,
            column=column,
        )

    def number(self, column: str, least: float = 0.0) -> float:
        """The cell as a finite number of at least `least`.

        Raises:
            BadInput: If it is anything else.
        """
        try:
            value = float(self.cells[column])
        except (KeyError, ValueError):
            raise self.wrong(column, "a number") from None
        if not math.isfinite(value) or value < least:
            raise self.wrong(column, f"a number of at least {least:g}")
        return value

    def whole(self, column: str, least: int = 0) -> int:
        """The cell as a whole number of at least `least`.

        Raises:
            BadInput: If it is anything else.
        """
        value = self.number(column, least)
        if value != int(value):
            raise self.wrong(column, "a whole number")
        return int(value)


def text_of(path: Path) -> str:
    """The text of a plain file, a .gz or the only file of a .tar.gz.

    Raises:
        NotFound: If there is no such file.
        Corrupt: If it cannot be unpacked or is no UTF-8 text.
    """
    try:
        if path.name.endswith(".tar.gz"):
            return _only_member(path).decode("utf-8")
        data = path.read_bytes()
        return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    except FileNotFoundError:
        raise NotFound(f"{path}: no such trace. Set FABRIC_TRACES to the folder that has it.", path=str(path)) from None
    except (OSError, EOFError, zlib.error, tarfile.TarError, UnicodeDecodeError) as error:
        raise Corrupt(f"{path}: cannot be unpacked: {error}. Copy the trace again.", path=str(path)) from None


def _only_member(path: Path) -> bytes:
    with tarfile.open(path) as archive:
        files = [member for member in archive.getmembers() if member.isfile()]
        if len(files) != 1:
            raise Corrupt(f"{path}: must hold one file, but holds {len(files)}. Copy the trace again.", path=str(path))
        stream = archive.extractfile(files[0])
        return stream.read() if stream else b""


def csv_rows(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """Rows of a comma-separated file with a heading.

    Args:
        path: The file.
        columns: Columns that must be there; others are kept and not checked.

    Raises:
        BadInput: If the heading lacks a column, or a line has too few cells.
        NotFound: If there is no such file.
        Corrupt: If it cannot be unpacked.
    """
    reader = csv.DictReader(io.StringIO(text_of(path), newline=None))
    try:
        yield from _checked(reader, path, columns)
    except csv.Error as error:
        line = reader.line_num + 1
        message = f"{path}:{line}: {error}. Correct or remove the line."
        raise BadInput(message, path=str(path), line=line) from None


def _checked(reader: "csv.DictReader[str]", path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """The rows of `reader`.

    Raises:
        BadInput: If the heading lacks a column, or a line has too few cells.
    """
    missing = [name for name in columns if name not in (reader.fieldnames or ())]
    if missing:
        raise BadInput(f"{path}:1: the heading lacks {', '.join(missing)}", path=str(path), line=1)
    for cells in reader:
        row = Row(str(path), reader.line_num, cells)
        short = [name for name in columns if cells[name] is None]
        if short:
            raise row.wrong(short[0], "given")
        yield row
