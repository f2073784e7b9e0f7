"""The help pages are what they were, and come quickly."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

from typer.main import get_command
from typer.testing import CliRunner

from fabric.cli.main import app


def _page(*words: str) -> str:
    shown = CliRunner().invoke(app, [*words, "--help"], prog_name="fabric")
    assert shown.exit_code == 0
    return f"$ fabric {' '.join([*words, '--help'])}\n{shown.stdout}"


def _commands(group: Any, *above: str) -> Iterator[tuple[str, ...]]:
    """Every command as the words that name it, groups before their members."""
    for name, command in getattr(group, "commands", {}).items():
        yield (*above, name)
        yield from _commands(command, *above, name)


def test_the_help_pages_are_the_kept_ones(golden: Callable[[str, str], None]) -> None:
    pages = [_page(*words) for words in _commands(get_command(app))]
    golden("cli-help.txt", "\n\n".join([_page(), *pages]))


def test_every_command_tells_its_exit_codes() -> None:
    for words in _commands(get_command(app)):
        assert "Exit codes: 0 done, 1" in _page(*words), words


def test_help_loads_nothing_that_is_slow() -> None:
    program = "import sys, time, fabric.cli.main; print(time.process_time(), *sys.modules)"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    seconds, *modules = told.stdout.split()
    assert {"httpx", "pydantic", "rich", "ruamel", "ray", "torch"} & set(modules) == set()
    assert float(seconds) < 0.5


def test_no_help_page_tells_of_python() -> None:
    pages = [_page(), *(_page(*words) for words in _commands(get_command(app)))]
    assert not [line for page in pages for line in page.splitlines() if "Raises:" in line or "Args:" in line]
