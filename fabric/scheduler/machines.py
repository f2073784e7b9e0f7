"""Nodes from a site file, and as JSON and back.

Knows nothing of which of them are up.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter

from fabric.config.site import Tier
from fabric.core.topology import Place
from fabric.scheduler.columns import Node, NodeState, amount_of, resources_of
from fabric.scheduler.ram_lines import Terms, terms

_TERMS = TypeAdapter(Terms | None)


def nodes_of(tiers: Iterable[Tier]) -> tuple[Node, ...]:
    """Every node of `tiers`, ready."""
    return tuple(node for tier in tiers for node in _of(tier))


def _of(tier: Tier) -> list[Node]:
    charges = terms(tier) if tier.charges or tier.superchip else None
    capacity = tier.capacity.resources
    return [Node(name, tier.name, capacity, tier.heads, speed=tier.speed, terms=charges) for name in tier.node_names]


def node_to(node: Node) -> list[Any]:
    """A node as JSON holds it."""
    place, charges = [node.place.group, node.place.rack], None if node.terms is None else asdict(node.terms)
    first = [node.name, node.tier, amount_of(node.capacity), node.heads, str(node.state), place]
    return [*first, node.speed, charges, sorted(node.holds)]


def node_from(value: Sequence[Any]) -> Node:
    """The node that `node_to` wrote.

    Raises:
        ValueError: If it is none.
    """
    name, tier, capacity, heads, state, place, speed, charges, holds = value
    at, known = Place(*place), _TERMS.validate_python(charges)
    return Node(name, tier, resources_of(capacity), heads, NodeState(state), at, speed, known, frozenset(holds))
