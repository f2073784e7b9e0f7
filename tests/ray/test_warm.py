"""Work that gets a cluster which waited for it starts at once, and is told everything that all work is told."""

import json
import tempfile
import time
from pathlib import Path

import pytest

from fabric.backends.keeping.head import RayHead
from fabric.backends.local.layout import Layout
from fabric.config.load import decode, read_yaml
from fabric.core.errors import ClusterLost
from tests.ray.live import Live, until

pytestmark = pytest.mark.timeout(400)
READY_S = 120.0
LOOK_S = 2.0
"""Longer than a keeper waits between two looks."""
TELLS = """
import json, os, pathlib
from fabric.sdk.report import reporter

tell = reporter(pathlib.Path("unused"))
tell.stage("work")
tell.progress(1, 1, "steps")
print("TOLD", json.dumps({name: os.environ.get(name, "") for name in %r}))
"""
NAMES = ["FABRIC_WORKLOAD", "FABRIC_ATTEMPT", "FABRIC_CLUSTER", "FABRIC_ADDRESS", "FABRIC_ARTIFACTS"]


def waiting(live: Live) -> dict[str, Layout]:
    """Clusters that wait for somebody, by name."""
    found = (decode(Layout, read_yaml(file), str(file)) for file in live.state.glob("clusters/*/cluster.json"))
    return {layout.name: layout for layout in found if layout.warm}


def is_whole(layout: Layout) -> bool:
    """Whether every Ray node of a cluster has joined."""
    head = RayHead(layout.dashboard_url, layout.token)
    try:
        return head.slices(layout) == set(layout.slices)
    except ClusterLost:
        return False
    finally:
        head.close()


def test_a_stock_job_runs_at_once_in_the_cluster_that_waited_and_another_one_follows(
    tmp_path: Path,
) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="fab-") as folder,
        Live(Path(folder), sets=('warm=[{"tier": "commodity"}]',)) as live,
    ):
        until(lambda: any(map(is_whole, waiting(live).values())), READY_S, lambda: str(waiting(live)))
        time.sleep(LOOK_S)
        (first,) = waiting(live)
        (tmp_path / "tells.py").write_text(TELLS % NAMES)
        work = ("--working-dir", str(tmp_path), "--", "python", "tells.py")
        said = live.ray("submit", "--submission-id", "quick", *work).stdout
        told = json.loads(said.partition("TOLD ")[2].splitlines()[0])
        assert (told["FABRIC_WORKLOAD"], told["FABRIC_ATTEMPT"], told["FABRIC_CLUSTER"]) == ("quick", "1", first)
        assert told["FABRIC_ADDRESS"] == live.address
        assert told["FABRIC_ARTIFACTS"].endswith("/artifacts/default")
        view = live.wait("quick", "succeeded")
        assert list(view["progress"]["stages"]) == ["work"], "control let in the key of the cluster that waited"
        assert view["cluster_ready_at"] - view["granted_at"] < LOOK_S
        until(lambda: bool(waiting(live).keys() - {first}), READY_S, lambda: str(waiting(live)))
