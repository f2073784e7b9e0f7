"""A file system that refuses to be read for a while, as those on a network do."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

REFUSALS = (errno.ESTALE, errno.EACCES, errno.EIO, errno.ENOMEM)
"""What it may say of files that are whole."""


def refuse(monkeypatch: pytest.MonkeyPatch, name: str, number: int = errno.ESTALE) -> None:
    """Have every file of this name refuse to be opened or asked for its size, until `monkeypatch` is undone.

    Args:
        monkeypatch: The test's own.
        name: Of the file, without its folder.
        number: What the file system says.
    """
    for method in ("open", "stat"):
        as_ever = getattr(Path, method)

        def refused(path: Path, *args: Any, _as_ever: Any = as_ever, **options: Any) -> Any:
            if path.name == name:
                raise OSError(number, os.strerror(number), str(path))
            return _as_ever(path, *args, **options)

        monkeypatch.setattr(Path, method, refused)
