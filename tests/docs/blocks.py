"""Fenced blocks and quoted commands of the documents that people follow.

Knows nothing of what the blocks need around them.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.architecture.tree import place, repository_files

_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```\s*$", re.MULTILINE | re.DOTALL)
_QUOTED = re.compile(r"`(fabric [a-z][^`\n]*)`")
_TYPED = re.compile(r"^(?:\$ )?(?:[A-Z_]+=\S+ )*(fabric [a-z].*)$")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block and where its first line stands."""

    file: Path
    line: int
    info: str
    text: str

    def __str__(self) -> str:
        return place(self.file, self.line)


def documents() -> list[Path]:
    """Every README and CONTRIBUTING."""
    return [file for file in repository_files() if file.name in ("README.md", "CONTRIBUTING.md")]


def blocks(*infos: str) -> list[Block]:
    """Blocks of all documents whose info string is one of `infos`."""
    found = []
    for file in documents():
        text = file.read_text(encoding="utf-8")
        for match in _FENCE.finditer(text):
            line = text.count("\n", 0, match.start("body")) + 1
            found.append(Block(file, line, match["info"].strip(), match["body"]))
    return [block for block in found if block.info in infos]


def run(block: Block) -> None:
    """Run the block as a program of its own; a failure names the document's line."""
    source = "\n" * (block.line - 1) + block.text
    exec(compile(source, str(block.file), "exec"), {"__name__": "__main__"})  # noqa: S102 - our own documents


def _without_fences(file: Path) -> str:
    return _FENCE.sub("", file.read_text(encoding="utf-8"))


def fabric_commands() -> Iterator[tuple[str, list[str]]]:
    """Place and words of every `fabric ...` command that a document quotes or shows being typed."""
    for file in documents():
        for match in _QUOTED.finditer(_without_fences(file)):
            yield place(file), _words(match[1])
    for block in blocks("bash", "console", "sh", "shell"):
        for number, line in enumerate(block.text.replace("\\\n", " ").splitlines(), start=block.line):
            if typed := _TYPED.match(line.strip()):
                yield place(block.file, number), _words(typed[1])


def _words(command: str) -> list[str]:
    """Words up to a comment, a pipe or the next command."""
    words = shlex.split(command, comments=True)
    ends = [index for index, word in enumerate(words) if word in ("|", "&", "&&", "||", ";", ">") or word.endswith(";")]
    return words[1 : min(ends, default=len(words))]
