"""Ray clusters inside a test's own process, each in a folder of its own, so that none is mistaken for another.

Knows nothing of what runs on them.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import ray
from ray._private import auto_init_hook
from ray.cluster_utils import Cluster

from tests.ray.answering import Answering

# Whatever still talks to Ray when a test has left its cluster, such as a thread of Ray Data, would start another one in
# the default folder, and the next test would find itself connected to that.
auto_init_hook.enable_auto_connect = False


@contextmanager
def own_cluster(*nodes: Mapping[str, Any], **environment: str) -> Iterator[Cluster]:
    """A cluster of these nodes, the head first; gone afterwards.

    Ray writes the address of the latest cluster to a file in its default folder, and whoever is given no address takes
    that one. `Cluster` uses the default folder whatever the nodes are told, so the default is another one here.

    Args:
        nodes: Arguments of `Cluster.add_node`.
        environment: What the processes of the nodes find set besides.
    """
    with tempfile.TemporaryDirectory(prefix="rc-", ignore_cleanup_errors=True) as folder:
        mine = {**environment, "RAY_TMPDIR": folder}
        with _set(mine):
            cluster = Cluster()
            try:
                for node in nodes:
                    cluster.add_node(**node)
                cluster.wait_for_nodes(timeout=60)
            except BaseException:
                cluster.shutdown()
                raise
        try:
            yield cluster
        finally:
            ray.shutdown()
            with _set(mine):
                cluster.shutdown()


@contextmanager
def _set(environment: Mapping[str, str]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield


class Stranger(Answering):
    """The state API of another cluster, which knows of nothing that it is asked about."""

    def __init__(self) -> None:
        nothing = {
            "total": 0,
            "num_after_truncation": 0,
            "num_filtered": 0,
            "result": [],
            "partial_failure_warning": "",
        }
        super().__init__(json.dumps({"result": True, "msg": "", "data": {"result": nothing}}))
