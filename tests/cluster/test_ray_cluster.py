"""A Ray cluster over both nodes: its pods wait at a gate, go exactly where they are sent, and run real Ray."""

from tests.cluster.pods import Namespace
from tests.cluster.ray_clusters import gated, node_of, ray_cluster, release, run_job, until_ready

WHERE = "import ray, socket; ray.init(log_to_driver=False); \
f = ray.remote(num_gpus=1)(lambda: (socket.gethostname(), ray.get_gpu_ids())); \
print(len(ray.nodes()), *ray.get(f.remote()))"


def test_a_ray_cluster_spans_both_nodes_and_runs_a_task_on_the_other(namespace: Namespace) -> None:
    namespace.api.create(namespace.ray(), ray_cluster("spanning"))
    head, worker = gated(namespace, "spanning", 2)
    assert node_of(namespace, head) == node_of(namespace, worker) == ""
    release(namespace, head, "commodity-0")
    release(namespace, worker, "gpu-0")
    until_ready(namespace, "spanning")
    assert (node_of(namespace, head), node_of(namespace, worker)) == ("commodity-0", "gpu-0")
    printed = run_job(namespace, head, f'python -c "{WHERE}"')
    assert printed.splitlines()[-1] == f"2 {worker} [0]"

    change = [{"op": "replace", "path": "/spec/workerGroupSpecs/0/replicas", "value": 2}]
    namespace.api.patch(namespace.ray("rayclusters/spanning"), change)
    (grown,) = gated(namespace, "spanning", 1)
    assert grown not in (head, worker)
    assert {node_of(namespace, pod) for pod in (head, worker)} == {"commodity-0", "gpu-0"}
