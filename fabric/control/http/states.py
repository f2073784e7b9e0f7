"""States of workloads as queries name them.

Knows nothing of routes.
"""

from collections.abc import Sequence

from fabric.core.errors import BadInput
from fabric.workloads.states import State


def states_of(names: Sequence[str]) -> frozenset[State] | None:
    """The states of these names; None, which means any, where none is named.

    Raises:
        BadInput: If one is no state.
    """
    unknown = [name for name in names if name not in list(State)]
    if unknown:
        raise BadInput(f"query.state: {unknown[0]!r} is no state. States: {', '.join(State)}.", state=unknown[0])
    return frozenset(State(name) for name in names) or None
