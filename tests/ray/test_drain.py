"""A node is drained under a service that is asked all the time, and beside a job that does not save."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ray.live import Live, spec_file, until
from tests.ray.test_resizing import asked_all_the_time

pytestmark = pytest.mark.timeout(600)
PATIENCE_S = 240


@pytest.fixture(scope="module")
def fabric(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A fabric of this file's own."""
    with Live(tmp_path_factory.mktemp("fab"), grace_s=20.0, sets=("policy.min_run_s=5.0",)) as live:
        yield live


def nodes_of(live: Live, name: str) -> set[str]:
    """Where its workers are."""
    return {part["node"] for part in live.workload(name)["slices"] if part["group"] != "head"}


def states_of(live: Live) -> dict[str, str]:
    return {node["name"]: node["state"] for node in live.get("/api/fabric/nodes")["nodes"]}


def test_a_service_moves_without_losing_a_request_and_a_job_that_does_not_save_runs_on(
    fabric: Live, tmp_path: Path
) -> None:
    fabric.fabric(
        "deploy", "parrot", "--engine", "echo", "--name", "chat", "--cpus", "1", "--memory", "1 GiB", "--wait"
    )
    (node,) = nodes_of(fabric, "chat")
    other = "gpu-1" if node == "gpu-0" else "gpu-0"
    name = f"chat-{fabric.workload('chat')['attempt']}"
    cluster = fabric.layout(name)
    group = {"name": "workers", "tier": "gpu", "count": 3, "cpus": 1.0, "gpus": 1.0, "memory": "0.5 GiB"}
    job = {"name": "keeps", "kind": "job", "entrypoint": "sleep 600", "groups": [group], "walltime_s": 3000}
    fabric.fabric("submit", str(spec_file(tmp_path, **job, runtime_env={"working_dir": str(tmp_path)})))
    fabric.wait("keeps", "running", within_s=PATIENCE_S)
    assert nodes_of(fabric, "keeps") == {"gpu-0", "gpu-1"}

    full = json.loads(fabric.fabric("drain", node, "--preview", "--json").stdout)["moves"]
    assert {move["workload"]: move["how"] for move in full} == {"chat": "waits", "keeps": "stays"}
    fabric.fabric("stop", "keeps", "--wait")
    smaller = {**job, "name": "stays", "groups": [{**group, "count": 1}]}
    fabric.fabric("submit", str(spec_file(tmp_path, **smaller, runtime_env={"working_dir": str(tmp_path)})))
    fabric.wait("stays", "running", within_s=PATIENCE_S)
    (held,) = nodes_of(fabric, "stays")

    with asked_all_the_time(fabric) as wrong:
        assert "bad DIMM" in fabric.fabric("drain", node, "--reason", "bad DIMM").stdout
        until(lambda: nodes_of(fabric, "chat") == {other}, PATIENCE_S, lambda: fabric.explained("chat"))
        fabric.wait("chat", "running", within_s=PATIENCE_S)
    assert wrong == []
    assert states_of(fabric)[node] == "draining"
    same = fabric.layout(name)
    assert (same.token, same.born) == (cluster.token, cluster.born), "it was one cluster all the time"
    assert "is being drained by local administrator: bad DIMM" in fabric.explained("chat")
    assert fabric.workload("stays")["state"] == "running"
    assert nodes_of(fabric, "stays") == {held}
    assert ("runs there to its end" in fabric.explained("stays")) is (held == node)

    fabric.interrupt()
    fabric.up()
    assert states_of(fabric)[node] == "draining", "it outlives the process"
    fabric.fabric("drain", node, "--undo")
    assert states_of(fabric)[node] == "ready"
