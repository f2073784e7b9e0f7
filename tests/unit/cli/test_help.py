"""The help pages are what they were, and come quickly."""

import subprocess
import sys
from collections.abc import Callable

from typer.main import get_command
from typer.testing import CliRunner

from fabric.cli.main import app


def _page(*words: str) -> str:
    shown = CliRunner().invoke(app, [*words, "--help"], prog_name="fabric")
    assert shown.exit_code == 0
    return f"$ fabric {' '.join([*words, '--help'])}\n{shown.stdout}"


def test_the_help_pages_are_the_kept_ones(golden: Callable[[str, str], None]) -> None:
    commands = list(getattr(get_command(app), "commands", {}))
    golden("cli-help.txt", "\n\n".join([_page(), *(_page(command) for command in commands)]))


def test_every_command_tells_its_exit_codes() -> None:
    for command in getattr(get_command(app), "commands", {}):
        assert "Exit codes: 0 done, 1" in _page(command), command


def test_help_loads_nothing_that_is_slow() -> None:
    program = "import sys, time, fabric.cli.main; print(time.process_time(), *sys.modules)"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    seconds, *modules = told.stdout.split()
    assert {"httpx", "pydantic", "rich", "ruamel", "ray", "torch"} & set(modules) == set()
    assert float(seconds) < 0.5
