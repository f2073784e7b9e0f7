"""Exit codes, and how a failure of a command is told: one line on stderr, never a trace.

Knows nothing of commands.
"""

import errno
from collections.abc import Mapping
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from fabric.core.errors import BadInput, Conflict, Denied, FabricError, NotFound, Unavailable

FAILED = 1
"""The workload failed, or the fabric itself."""

BAD_INPUT = 2
"""What was asked is wrong."""

UNREACHABLE = 4
"""No fabric answers."""

BY_ERROR: Mapping[type[FabricError], int] = {
    BadInput: BAD_INPUT,
    Conflict: BAD_INPUT,
    NotFound: 3,
    Unavailable: UNREACHABLE,
    Denied: 5,
}
"""Exit code of an error and of everything derived from it."""

TABLE = (
    "Exit codes: 0 done, 1 the workload failed, 2 bad input, 3 not found, 4 no fabric answers, 5 denied, "
    "130 interrupted."
)
"""For the help pages."""


def code_of(error: FabricError) -> int:
    """Exit code of `error`."""
    return next((code for kind, code in BY_ERROR.items() if isinstance(error, kind)), FAILED)


def leave(message: str, code: int) -> NoReturn:
    """Say `message` on stderr in one line and end the command.

    Raises:
        typer.Exit: With the code.
    """
    typer.echo("error: " + " ".join(message.split()), err=True)
    raise typer.Exit(code)


def fail_if(failed: bool) -> None:
    """End the command with code 1 if `failed`; why was said already.

    Raises:
        typer.Exit: With the code.
    """
    if failed:
        raise typer.Exit(FAILED)


class Commands(TyperGroup):
    """The group of all commands; errors of the fabric and of the machine end in it."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was given.

        Raises:
            OSError: If nobody reads our output any more.
        """
        try:
            return super().invoke(ctx)
        except FabricError as error:
            leave(error.message, code_of(error))
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            place = f"{error.filename}: " if error.filename else ""
            leave(f"{place}{error.strerror or error}", BAD_INPUT)
