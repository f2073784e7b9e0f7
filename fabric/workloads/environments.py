"""The Ray runtime environments of a spec, and the secrets that their variables name.

Knows nothing of what a secret holds. A variable whose value is `fabric-secret:NAME` is the name of the secret and no
more: it is shown back as it was given, and every process of the workload finds what the secret holds, as with `secrets`
of a spec. A workload has one cluster, so such a variable means one thing in all of it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fabric.core.errors import BadInput
from fabric.core.ids import check_name

NAMES_SECRET = "fabric-secret:"  # noqa: S105 - what stands before a name
"""Before the name of a secret, as the value of a variable."""

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
_VARIABLES = "env_vars"
_ENVIRONMENT = "runtime_env"


def environments_of(
    runtime_env: Mapping[str, Any], serve: Mapping[str, Any]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Place and content of every runtime environment; what is none, where one should be, is left out.

    Args:
        runtime_env: Of the entrypoint.
        serve: Ray Serve's configuration; empty where there is none.
    """
    yield _ENVIRONMENT, runtime_env
    for number, application in _numbered(serve.get("applications")):
        place = f"applications.{number}"
        yield f"{place}.{_ENVIRONMENT}", _mapping(application.get(_ENVIRONMENT))
        for index, deployment in _numbered(application.get("deployments")):
            options = _mapping(deployment.get("ray_actor_options"))
            place_of_options = f"{place}.deployments.{index}.ray_actor_options"
            yield f"{place_of_options}.{_ENVIRONMENT}", _mapping(options.get(_ENVIRONMENT))


def secrets_named(environments: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, str]:
    """Secrets by the variable that names them.

    Args:
        environments: Place and content of each.

    Raises:
        BadInput: If a variable means two things.
    """
    named: dict[str, str] = {}
    plain: dict[str, str] = {}
    for place, environment in environments:
        for variable, text in _mapping(environment.get(_VARIABLES)).items():
            where = f"{place}.{_VARIABLES}"
            if not _names_secret(text):
                plain[variable] = where
            elif named.setdefault(variable, text) != text:
                raise BadInput(
                    f"{where}: {variable} names secret {_name(text)}, and {_name(named[variable])} elsewhere; all "
                    "processes of a workload find the same. Choose another variable.",
                    variable=variable,
                )
    if both := sorted(plain.keys() & named.keys()):
        raise BadInput(
            f"{plain[both[0]]}: {both[0]} names secret {_name(named[both[0]])} elsewhere; all processes of a workload "
            "find the same. Choose another variable.",
            variable=both[0],
        )
    return {variable: _name(text) for variable, text in named.items()}


def check_secrets(named: Mapping[str, str]) -> None:
    """Refuse variables and names that cannot be.

    Args:
        named: Secrets by variable.

    Raises:
        BadInput: Naming the first one.
    """
    if wrong := [variable for variable in named if not _VARIABLE.fullmatch(variable)]:
        raise BadInput(f"{wrong[0]!r} is no variable for a secret: use capital letters, digits and '_'")
    for name in named.values():
        check_name(name, "secret")


def without_secrets(environment: Mapping[str, Any]) -> dict[str, Any]:
    """A runtime environment without the variables that name secrets, which the processes have already."""
    found = environment.get(_VARIABLES)
    if not isinstance(found, Mapping):
        return dict(environment)
    kept = {name: text for name, text in found.items() if not _names_secret(text)}
    return {**environment, _VARIABLES: kept}


def told_without_secrets(document: Mapping[str, Any]) -> dict[str, Any]:
    """An application, or the options of a deployment's replicas, the same."""
    environment = document.get(_ENVIRONMENT)
    kept = {_ENVIRONMENT: without_secrets(environment)} if isinstance(environment, Mapping) else {}
    return {**document, **kept}


def _names_secret(text: object) -> bool:
    return isinstance(text, str) and text.startswith(NAMES_SECRET)


def _name(text: str) -> str:
    return text.removeprefix(NAMES_SECRET)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _numbered(values: object) -> Iterator[tuple[int, Mapping[str, Any]]]:
    found = values if isinstance(values, list | tuple) else ()
    yield from ((number, each) for number, each in enumerate(found) if isinstance(each, Mapping))
