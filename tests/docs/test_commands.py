"""Every `fabric ...` command that a document shows exists, with the options shown."""

from typing import Any

from typer.main import get_command

from fabric.cli.main import app
from tests.docs.blocks import fabric_commands


def _unknown(command: Any, words: list[str]) -> str:
    """What of `words` the command line does not have; empty if it has all."""
    options = {
        "--help",
        *(flag for p in command.params for flag in (*p.opts, *p.secondary_opts) if flag.startswith("-")),
    }
    inner = getattr(command, "commands", {})
    for index, word in enumerate(words):
        if word.startswith("-"):
            if word.partition("=")[0] not in options and word != "--":
                return f"option {word}"
        elif inner:
            return _unknown(inner[word], words[index + 1 :]) if word in inner else f"command {word}"
    return ""


def test_every_quoted_command_exists() -> None:
    command_line = get_command(app)
    wrong = [
        (where, " ".join(words), missing)
        for where, words in fabric_commands()
        if (missing := _unknown(command_line, words))
    ]
    assert wrong == []
