"""The openb experiment against its published figures: two pod lists, six policies, ten seeds each."""

import statistics
from pathlib import Path

import pytest

from fabric.config import env
from fabric.simulator.openb import FIRST_SEED, POLICIES, simulate
from fabric.simulator.openb_summary import published
from fabric.simulator.openb_trace import read_nodes, read_pods

ROOT = Path(__file__).resolve().parents[2]
TRACE = Path(env.get(env.TRACES) or ROOT / "../shared/traces") / "alibaba-openb-2023"
LISTS = ("openb_pod_list_default", "openb_pod_list_gpuspec33")
WITHIN_POINTS = 0.6
LEAST_OF_FGD = {"openb_pod_list_default": 95.2, "openb_pod_list_gpuspec33": 87.8}

pytestmark = [
    pytest.mark.validation,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not TRACE.is_dir(), reason=f"no trace in {TRACE}; name the folder of traces in {env.TRACES}"),
]


@pytest.mark.parametrize("workload", LISTS)
@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_grants_what_was_published_at_full_demand(policy: str, workload: str) -> None:
    nodes, pods = read_nodes(TRACE / "openb_node_list_gpu_node.csv"), read_pods(TRACE / f"{workload}.csv")
    runs = [simulate(nodes, pods, policy, FIRST_SEED + k) for k in range(10)]
    ours = statistics.fmean(run.allocation_pct[100] for run in runs)
    theirs = published(TRACE / "expected_allo_discrete.csv.gz", workload)[policy][100].mean
    assert abs(ours - theirs) <= WITHIN_POINTS, f"{ours:.2f} here, {theirs:.2f} published"
    assert policy != "fgd" or ours >= LEAST_OF_FGD[workload]
