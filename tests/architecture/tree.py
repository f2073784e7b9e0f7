"""The repository as these tests see it: its files, and its modules as syntax.

Knows nothing of the rules.
"""

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@cache
def repository_files() -> tuple[Path, ...]:
    """Every file that is, or could be, committed."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = [ROOT / name for name in listed.split("\0") if name]
    return tuple(file for file in sorted(files) if file.is_file())


def text_of(file: Path) -> str:
    """The text of `file`; empty for what is no text."""
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def python_files(*folders: str) -> list[Path]:
    """Every Python file below `folders`."""
    wanted = [ROOT / folder for folder in folders]
    return [f for f in repository_files() if f.suffix == ".py" and any(f.is_relative_to(w) for w in wanted)]


@cache
def syntax(file: Path) -> ast.Module:
    """The parsed module."""
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


@cache
def nodes(file: Path) -> tuple[ast.AST, ...]:
    """Every node of the module, in no useful order."""
    return tuple(ast.walk(syntax(file)))


def place(file: Path, line: int | None = None) -> str:
    """Where it is, as an editor opens it."""
    name = str(file.relative_to(ROOT))
    return f"{name}:{line}" if line else name


def imports(file: Path) -> Iterator[tuple[str, int]]:
    """Dotted name and line of everything a module imports, inside functions too."""
    for node in nodes(file):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, node.lineno
