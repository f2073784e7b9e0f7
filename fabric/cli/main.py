"""The command `fabric`: all commands in one place.

Knows nothing of what they do.
"""

import inspect
import sys
import tempfile
import traceback

import typer

from fabric.cli import exits
from fabric.cli.admin import admin
from fabric.cli.arrays import arrays
from fabric.cli.artifacts import artifacts
from fabric.cli.dashboard import dashboard
from fabric.cli.deployments import deployments, rollback
from fabric.cli.doctor import doctor
from fabric.cli.down import down
from fabric.cli.jobs import explain, jobs, logs, scale, stop
from fabric.cli.models import deploy, models
from fabric.cli.nodes import drain, nodes
from fabric.cli.notebook import notebook
from fabric.cli.people import keys, projects, users
from fabric.cli.render import render
from fabric.cli.replay import replay
from fabric.cli.secrets import secrets
from fabric.cli.shell import shell
from fabric.cli.simulate import app as simulate
from fabric.cli.submit import submit
from fabric.cli.top import top
from fabric.cli.up import up
from fabric.cli.usage import usage
from fabric.cli.workload import bill, delete, events, whoami

app = typer.Typer(
    name="fabric",
    cls=exits.Commands,
    help="One fabric for training and serving across GPU and commodity nodes.",
    epilog=exits.TABLE,
    no_args_is_help=True,
    # Plain help loads faster, and looks the same in every terminal.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

for _command in (
    up, down, doctor, submit, jobs, logs, stop, delete, scale, explain, events, bill, dashboard, shell, notebook, top,
    nodes, drain, deploy, deployments, rollback, replay, render, usage, whoami,
):  # fmt: skip
    app.command(epilog=exits.TABLE)(_command)
_groups = (models, artifacts, arrays, secrets, projects, users, keys, admin, simulate)
for _group in _groups:
    app.add_typer(_group)
for _info in (info for part in (app, *_groups) for info in part.registered_commands):
    # What a function raises is for who calls it, not for who types the command.
    _info.help = inspect.cleandoc(getattr(_info.callback, "__doc__", None) or "").partition("\n\nRaises:")[0]


def main() -> None:
    """Run the command line; what nobody foresaw becomes one line and a file with the trace."""
    try:
        app()
    except Exception as error:
        with tempfile.NamedTemporaryFile("w", prefix="fabric-fault-", suffix=".txt", delete=False) as out:
            traceback.print_exc(file=out)
        typer.echo(f"error: a fault of the fabric: {type(error).__name__}: {error}; trace: {out.name}", err=True)
        sys.exit(exits.FAILED)
