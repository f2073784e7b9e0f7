"""The secret of one RayCluster, with Ray's token: made once, and read by who finds it there.

Knows nothing of pods.
"""

import secrets
from base64 import b64decode

from fabric.backends.kuberay.api import SECRETS, KubeApi, Object
from fabric.backends.kuberay.manifest import TOKEN_KEY, cluster_secret
from fabric.backends.kuberay.pods import Home
from fabric.core.errors import Conflict, NotFound
from fabric.scheduler.ports import WantedCluster


class ClusterToken:
    """By which all Ray nodes of a cluster, and who keeps it, know each other."""

    def __init__(self, api: KubeApi, home: Home, name: str) -> None:
        """Asks nothing yet.

        Args:
            api: The server.
            home: What goes into the secret.
            name: Of the secret, as of its RayCluster.
        """
        self._api, self._home, self._name = api, home, name
        self.text = ""
        """The token; empty while it is not known."""

    def ensure(self, cluster: Object, wanted: WantedCluster | None, *, is_new: bool) -> None:
        """Know the token: make its secret, or read the one that is there.

        Args:
            cluster: The RayCluster, to which the secret belongs.
            wanted: What should be in it; None if nobody knows.
            is_new: Whether the RayCluster was made by whom we are.

        Raises:
            Conflict: If the secret of an earlier cluster of that name has not gone yet.
        """
        if self.text:
            return
        found = self._found(cluster, wanted, is_new=is_new)
        if found is None:
            return
        owners = {owner["uid"] for owner in found["metadata"].get("ownerReferences", ())}
        if cluster["metadata"]["uid"] not in owners:
            raise Conflict(f"the secret {self._name} of an earlier cluster has not gone yet")
        self.text = b64decode(found["data"][TOKEN_KEY]).decode()

    def _found(self, cluster: Object, wanted: WantedCluster | None, *, is_new: bool) -> Object | None:
        """The secret of that name; None if there is none, and it is not known what should be in it."""
        if is_new and wanted is not None:
            # Of a cluster that was made just now there is none, as a rule: no need to ask first.
            try:
                return self._make(cluster, wanted)
            except Conflict:
                return self._api.get(SECRETS, self._name)
        try:
            return self._api.get(SECRETS, self._name)
        except NotFound:
            return self._make(cluster, wanted) if wanted is not None else None

    def _make(self, cluster: Object, wanted: WantedCluster) -> Object:
        token = secrets.token_hex(32)
        return self._api.create(SECRETS, cluster_secret(wanted, self._home, token, cluster))
