"""Answers that are shown anew whenever they change, until Ctrl-C.

Knows nothing of what is shown.
"""

from __future__ import annotations

import operator
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeVar

import typer

from fabric.cli import show

if TYPE_CHECKING:
    from rich.console import RenderableType

T = TypeVar("T")

Watch = Annotated[bool, typer.Option("--watch", help="Show changes until Ctrl-C.")]
"""Option of commands that can go on."""

LOOK_EVERY_S = 1.0
"""Pause between two looks, in seconds."""


def go_on(
    look: Callable[[], T],
    drawn: Callable[[T], RenderableType],
    *,
    json: Callable[[T], None] | None = None,
    same: Callable[[T, T], bool] = operator.eq,
) -> NoReturn:
    """Look again and again until Ctrl-C.

    Args:
        look: Asks.
        drawn: An answer as people read it.
        json: Prints an answer as JSON, whenever something changed; None draws it for people.
        same: Whether nothing changed that is worth telling.
    """
    if json is not None:
        _print(look, json, same)
    from rich.live import Live

    with Live(console=show.console(), auto_refresh=False) as live:
        while True:
            live.update(drawn(look()), refresh=True)
            time.sleep(LOOK_EVERY_S)


def _print(look: Callable[[], T], json: Callable[[T], None], same: Callable[[T, T], bool]) -> NoReturn:
    found = look()
    json(found)
    while True:
        time.sleep(LOOK_EVERY_S)
        seen, found = found, look()
        if not same(found, seen):
            json(found)
