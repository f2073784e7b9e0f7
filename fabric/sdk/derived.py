"""Methods without `await`, made from the asynchronous ones: each is written, typed and described once.

Knows nothing of what the methods do. A class that has them holds the asynchronous object in `_client`, runs a call to
its end in `_run`, and goes through what comes in pieces in `_iterate`.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

A = TypeVar("A")
P = ParamSpec("P")
T = TypeVar("T")


class Runs(Protocol):
    """Runs a call to its end."""

    def __call__(self, call: Coroutine[Any, Any, T]) -> T:
        """What the call returns."""
        ...


class Iterates(Protocol):
    """Goes through what comes in pieces."""

    def __call__(self, pieces: AsyncGenerator[T, None]) -> Iterator[T]:
        """The pieces, one at a time."""
        ...


def derived(method: Callable[Concatenate[A, P], Coroutine[Any, Any, T]]) -> Callable[Concatenate[Any, P], T]:
    """The same method, which returns when it is done."""

    @functools.wraps(method)
    def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        result: T = self._run(method(self._client, *args, **kwargs))
        return result

    return call


def derived_pieces(
    method: Callable[Concatenate[A, P], AsyncGenerator[T, None]],
) -> Callable[Concatenate[Any, P], Iterator[T]]:
    """The same method, whose pieces are gone through without `await`."""

    @functools.wraps(method)
    def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        pieces: Iterator[T] = self._iterate(method(self._client, *args, **kwargs))
        return pieces

    return call
