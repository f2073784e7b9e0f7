"""HTML from values: every text and attribute is escaped, so that names may hold anything.

Knows nothing of what is shown.
"""

from collections.abc import Iterable
from html import escape

VOID = frozenset({"br", "hr", "img", "input", "link", "meta"})
"""Elements that never have contents."""


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Child = str | int | float | Iterable["Child"] | None
"""What may stand inside an element: HTML, text, a number, several of them, or nothing."""
Attribute = str | int | float | bool | None
"""Value of an attribute: True has no value, False and None leave it out."""


def tag(name: str, /, *children: Child, **attributes: Attribute) -> Markup:
    """An element.

    Args:
        name: Such as `td`.
        *children: Its contents, in order.
        **attributes: With `_` for `-`, and a last `_` left out where the word is Python's: `class_`, `aria_label`.
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(*children)}</{name}>")


def join(*children: Child) -> Markup:
    """Several, one after the other."""
    return Markup("".join(_child(child) for child in children))


def _child(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    if isinstance(child, str | int | float):
        return escape(str(child))
    return join(*child)


def _attribute(key: str, value: Attribute) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
