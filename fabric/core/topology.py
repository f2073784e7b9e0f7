"""Where a node is: node < rack < group.

Knows nothing of what the network between them can do.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A node's position, from the widest to the narrowest level; empty strings where a site does not say."""

    group: str = ""
    rack: str = ""

    def hops(self, other: "Place") -> int:
        """0 within a rack, 1 within a group, 2 across groups."""
        if self.group != other.group:
            return 2
        return 0 if self.rack == other.rack else 1
