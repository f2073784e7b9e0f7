"""Read YAML 1.2 files and `--set` overrides into settings, with errors that name file, place and what is allowed.

Knows nothing of what the settings mean.
"""

import difflib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from fabric.config.settings import Settings
from fabric.core.errors import BadConfig

S = TypeVar("S", bound=Settings)


def load(cls: type[S], path: Path, sets: Sequence[str] = (), section: str | None = None) -> S:
    """Read `path` as a `cls`.

    Args:
        cls: The settings class.
        path: A YAML 1.2 file.
        sets: Overrides such as `optimizer.lr=3e-4`, applied before validation.
        section: Top-level key to read instead of the whole file.

    Raises:
        BadConfig: If the file is missing, no YAML, or has an unknown key, wrong type or impossible value.
    """
    document = read_yaml(path)
    if section is not None:
        document = _section(document, section, str(path))
    return decode(cls, apply_sets(document, sets), str(path))


def _section(document: dict[str, Any], name: str, where: str) -> dict[str, Any]:
    inner = document.get(name)
    if inner is None:
        return {}
    if not isinstance(inner, dict):
        raise BadConfig(f"{where}: {name}: must be a mapping, but is a {type(inner).__name__}", path=where)
    return inner


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping from `path`.

    Raises:
        BadConfig: If it cannot be read or is no mapping.
    """
    try:
        return parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.yaml")] or [""])
        hint = f" Did you mean {path.parent / near[0]}?" if near else ""
        raise BadConfig(f"{path}: no such file.{hint}", path=str(path)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(f"{path}: cannot be read: {error}", path=str(path)) from None


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """Parse YAML 1.2 `text`, in which `3e-4` is a number and `on` is a word.

    Raises:
        BadConfig: With line and column if it is no YAML or no mapping.
    """
    try:
        document = YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "unknown line"
        raise BadConfig(f"{where}: {place}: {error.problem}", path=where) from None
    except YAMLError as error:
        raise BadConfig(f"{where}: {error}", path=where) from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise BadConfig(f"{where}: must be a mapping of keys to values, but is a {type(document).__name__}", path=where)
    return document


def apply_sets(document: Mapping[str, Any], sets: Sequence[str]) -> dict[str, Any]:
    """Return `document` with each `path=value` of `sets` put in; values are read as YAML.

    Raises:
        BadConfig: If one has no `=` or goes through a value that is no mapping.
    """
    result = dict(document)
    for item in sets:
        dotted, equals, text = item.partition("=")
        if not equals or not dotted:
            raise BadConfig(f"--set {item}: write it as path=value, such as optimizer.lr=3e-4")
        _put(result, dotted.split("."), parse_yaml(f"value: {text}", f"--set {item}")["value"], item)
    return result


def _put(target: dict[str, Any], keys: list[str], value: object, item: str) -> None:
    for key in keys[:-1]:
        inner = target.get(key, {})
        if not isinstance(inner, dict):
            raise BadConfig(f"--set {item}: {key!r} holds a value, not a section")
        target[key] = target = dict(inner)
    target[keys[-1]] = value


def decode(cls: type[S], document: Mapping[str, Any], where: str) -> S:
    """Validate `document` as a `cls`.

    Raises:
        BadConfig: Naming every wrong place, what was given and what is allowed there.
    """
    try:
        # Through JSON, where strict mode reads a list as the tuple that a frozen setting holds.
        return cls.model_validate_json(json.dumps(document))
    except ValidationError as error:
        problems = [_explain(cls, problem) for problem in _innermost(error.errors(include_url=False))]
        raise BadConfig(f"{where}: " + "; ".join(problems), path=where) from None
    except (TypeError, ValueError) as error:
        # Dates, and anchors that contain themselves, are YAML that JSON cannot hold.
        raise BadConfig(f"{where}: {error}; write dates and the like as text", path=where) from None


def _innermost(problems: Sequence[Any]) -> list[Any]:
    """Without those that only say that something inside them is wrong."""
    places = [problem["loc"] for problem in problems]
    return [p for p in problems if not any(q != p["loc"] and q[: len(p["loc"])] == p["loc"] for q in places)]


def _explain(cls: type[BaseModel], problem: Any) -> str:
    """One validation problem in words: place, what is wrong, what is allowed."""
    location = problem["loc"]
    place = ".".join(str(part) for part in location) or "top level"
    if problem["type"] == "extra_forbidden":
        allowed = sorted(_fields_at(cls, location[:-1]))
        near = difflib.get_close_matches(str(location[-1]), allowed, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        return f"{place}: unknown key.{hint} Allowed: {', '.join(allowed) or 'none'}."
    if problem["type"] == "missing":
        return f"{place}: is required"
    given = problem.get("input")
    shown = f" (got {given!r})" if isinstance(given, str | int | float | bool) or given is None else ""
    return f"{place}: {problem['msg'].removeprefix('Value error, ')}{shown}"


def _fields_at(cls: type[BaseModel], location: Sequence[str | int]) -> set[str]:
    """Names of the fields allowed at `location`, as far as annotations tell."""
    current: set[type[BaseModel]] = {cls}
    for part in location:
        if isinstance(part, str):
            following = {
                inner
                for model in current
                if part in model.model_fields
                for inner in _models_in(model.model_fields[part].annotation)
            }
            current = following or current
    return {name for model in current for name in model.model_fields}


def _models_in(annotation: Any) -> set[type[BaseModel]]:
    """Every settings class mentioned in an annotation such as `tuple[Tier, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {model for inner in getattr(annotation, "__args__", ()) for model in _models_in(inner)}
