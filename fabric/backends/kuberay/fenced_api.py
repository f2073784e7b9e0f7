"""An API server of which only one who leads may change anything.

Knows nothing of leases: it asks before each change.
"""

from collections.abc import Callable, Iterator, Mapping

from fabric.backends.kuberay.api import Change, Kind, KubeApi, Listing, Object, Patch
from fabric.core.errors import FabricError, Unavailable


class FencedApi:
    """Implements `KubeApi`: looks as another one does, changes nothing once somebody else may lead.

    Keepers, adopters and cordons act from threads of their own. A process that was stopped goes on in the middle of
    these, before it can learn that another one leads.
    """

    def __init__(self, api: KubeApi, check: Callable[[], None]) -> None:
        """Asks for nothing.

        Args:
            api: The server.
            check: Raises `Unavailable` if somebody else may lead.
        """
        self._api, self._check = api, check

    def listing(self, kind: Kind, selector: str = "", fields: str = "") -> Listing:
        """As the server has them."""
        return self._api.listing(kind, selector, fields)

    def watch(self, kind: Kind, version: str, selector: str = "") -> Iterator[Change]:
        """As the server tells them."""
        return self._api.watch(kind, version, selector)

    def get(self, kind: Kind, name: str) -> Object:
        """As the server has it."""
        return self._api.get(kind, name)

    def create(self, kind: Kind, item: Object) -> Object:
        """Make an object.

        Raises:
            Unavailable: If somebody else may lead.
        """
        self._check()
        return self._api.create(kind, item)

    def patch(self, kind: Kind, name: str, patch: Patch) -> Object:
        """Change an object.

        Raises:
            Unavailable: If somebody else may lead.
        """
        self._check()
        return self._api.patch(kind, name, patch)

    def patch_each(self, kind: Kind, patches: Mapping[str, Patch]) -> Mapping[str, Object | FabricError]:
        """Change several objects, or none if somebody else may lead."""
        try:
            self._check()
        except Unavailable as error:
            return dict.fromkeys(patches, error)
        return self._api.patch_each(kind, patches)

    def delete(self, kind: Kind, name: str, grace_s: int | None = None) -> None:
        """Take an object away.

        Raises:
            Unavailable: If somebody else may lead.
        """
        self._check()
        self._api.delete(kind, name, grace_s)

    def close(self) -> None:
        """Give the connections back."""
        self._api.close()
