"""Group commit: what several threads want to write at the same time is written in one transaction.

Knows nothing of SQL. Nobody waits for company: a group is whoever came while the transaction before was being flushed,
so an idle store answers after one flush, and a busy one flushes once for all who wait.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar, cast

from fabric.core.errors import Corrupt, FabricError, Unavailable

T = TypeVar("T")
R = TypeVar("R")

MOST_TOGETHER = 64
"""Most in one transaction, so that others who write do not wait longer than some tens of milliseconds."""


class _Wish(Generic[T, R]):
    """What one thread wants written, and what became of it."""

    __slots__ = ("answer", "done", "item")

    def __init__(self, item: T) -> None:
        self.item = item
        self.done = False
        self.answer: R | BaseException | None = None


class GroupCommit(Generic[T, R]):
    """Writes for many threads at once; safe to call from any of them."""

    def __init__(self, write: Callable[[Sequence[T]], Sequence[R | FabricError]], most: int = MOST_TOGETHER) -> None:
        """Wait for nobody yet.

        Args:
            write: Writes all of some items in one transaction and returns once that is durable: for each what it
                became, or why it alone was refused. What it raises has written nothing.
            most: Items of one transaction.
        """
        self._write, self._most = write, most
        self._wishes: deque[_Wish[T, R]] = deque()
        self._turn = threading.Lock()

    @property
    def waiting(self) -> int:
        """How many wait to be written."""
        return len(self._wishes)

    def put(self, item: T) -> R:
        """Have `item` written; returns once it is durable.

        Raises:
            FabricError: If it was refused, or nothing could be written.
        """
        wish = _Wish[T, R](item)
        self._wishes.append(wish)
        with self._turn:
            # Whoever had the turn before may have written ours too; those ahead of us come first.
            while not wish.done:
                group = [self._wishes.popleft() for _ in range(min(self._most, len(self._wishes)))]
                self._fulfil(group)
        if isinstance(wish.answer, BaseException):
            raise wish.answer
        return cast("R", wish.answer)

    def _fulfil(self, group: Sequence[_Wish[T, R]]) -> None:
        try:
            answers: Sequence[R | BaseException] = self._write([wish.item for wish in group])
        except (Unavailable, Corrupt) as error:
            answers = [error] * len(group)
        except FabricError as error:
            if len(group) > 1:
                # One of them cannot be stored, and must not keep the others from it.
                for wish in group:
                    self._fulfil([wish])
                return
            answers = [error]
        except BaseException as error:
            # Whoever waits must not wait for ever because of a mistake of ours.
            answers = [error] * len(group)
        for wish, answer in zip(group, answers, strict=True):
            wish.answer, wish.done = answer, True
