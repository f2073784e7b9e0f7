"""Turn whole looks at the clusters into what changed between them, for backends that keep no list of changes.

Knows nothing of what a change means.
"""

from collections.abc import Mapping

from fabric.scheduler.ports import ClusterView, Phase, Sight


class Sightings:
    """The last view of each cluster and the number of the look that brought it; for one reader."""

    def __init__(self) -> None:
        self._look = 0
        self._last: dict[str, tuple[int, ClusterView]] = {}

    def since(self, cursor: int, views: Mapping[str, ClusterView]) -> Sight:
        """Take in a look, and tell what is new to who has seen everything up to `cursor`.

        Args:
            cursor: Number of a look, 0 for none.
            views: Every cluster that exists now, by name.
        """
        self._look += 1
        for name in self._last.keys() - views.keys():
            if self._last[name][1].phase is not Phase.ABSENT:
                self._last[name] = (self._look, ClusterView(name, Phase.ABSENT))
        for name, view in views.items():
            known = self._last.get(name)
            if known is None or (known[1] is not view and known[1] != view):
                self._last[name] = (self._look, view)
        gone = [name for name, (look, view) in self._last.items() if look <= cursor and view.phase is Phase.ABSENT]
        for name in gone:
            del self._last[name]
        if cursor == 0:
            return Sight(dict(views), self._look)
        return Sight({name: view for name, (look, view) in self._last.items() if look > cursor}, self._look)
