"""The placement that decisions use picks the nodes that the openb experiment picks."""

from pathlib import Path

import numpy as np
import pytest

from fabric.config import env
from fabric.scheduler.placement import place
from fabric.scheduler.policies.choice import Scores
from fabric.scheduler.policies.fragmentation import task_mix
from fabric.scheduler.policies.policy import Context
from fabric.scheduler.policies.table import policy
from fabric.scheduler.policies.view import fixed
from fabric.simulator.openb import FIRST_SEED, arrivals
from fabric.simulator.openb_cluster import Cluster
from fabric.simulator.openb_trace import read_nodes, read_pods
from tests.unit.scheduler.policies.sites import room_of, shape_for, site_of

ROOT = Path(__file__).resolve().parents[2]
TRACE = Path(env.get(env.TRACES) or ROOT / "../shared/traces") / "alibaba-openb-2023"
EVERY = 40
"""One pod of as many is placed by both, from the empty cluster to the overfull one."""

pytestmark = [
    pytest.mark.validation,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not TRACE.is_dir(), reason=f"no trace in {TRACE}; name the folder of traces in {env.TRACES}"),
]


def test_fgd_places_pods_where_the_experiment_does() -> None:
    pods = read_pods(TRACE / "openb_pod_list_default.csv")
    nodes = read_nodes(TRACE / "openb_node_list_gpu_node.csv")
    # None of these pods names a model, so all nodes are one tier.
    nodes = nodes.rows(np.random.default_rng(FIRST_SEED).permutation(len(nodes)))
    nodes.model[:] = 0
    site = site_of(nodes)
    mix = task_mix(pods, nodes.models)
    cluster = Cluster(nodes, policy("fgd"), Context(mix=mix))
    theirs, ours = [], []
    for number, pod in enumerate(arrivals(pods, int(nodes.free_milli_gpus.sum()), FIRST_SEED)):
        asked = number % EVERY == 0
        if asked:
            devices = cluster.nodes.free_milli_gpus
            scores = Scores({"fgd": 1.0}, site, task_mix(pods, fixed(site).models), ties="name", devices=devices)
            found = place(shape_for(pod), room_of(cluster.nodes), site, None, scores=scores)
            ours.append(found.pieces[0].row if found.pieces else None)
        placed = cluster.place(pod)
        if asked:
            theirs.append(placed.row if placed else None)
    assert None in theirs
    assert len(set(theirs)) > len(theirs) // 4
    assert ours == theirs
