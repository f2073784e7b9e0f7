"""The base of every settings class.

Knows nothing of files or the environment.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from pydantic import BaseModel, ConfigDict

from fabric.core.errors import BadInput

P = ParamSpec("P")
T = TypeVar("T")


class Settings(BaseModel):
    """Immutable, exact keys, no coercion; every field has a string under it with meaning and unit."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


def checked(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `function` inside a validator, so that its refusal is collected with the place it belongs to.

    Raises:
        ValueError: With the message of the `BadInput` that it raised.
    """
    try:
        return function(*args, **kwargs)
    except BadInput as error:
        raise ValueError(error.message) from None
