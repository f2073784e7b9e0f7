"""Modules that load when their first name is used, so that importing the SDK is quick.

Knows nothing of which modules these are.
"""

from importlib import import_module
from typing import Any


class Later:
    """Stands for a module until it is needed; type checkers see the real import beside it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        """The attribute of the module, which is imported now if it was not yet."""
        return getattr(import_module(self._name), attribute)
