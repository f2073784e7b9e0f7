"""The unmodified `ray` command line and client against the fabric."""

import json
import textwrap
import time
from pathlib import Path

import pytest

from tests.ray.live import Live, until


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A folder with a script that knows nothing of the fabric."""
    (tmp_path / "plain.py").write_text(
        textwrap.dedent("""
        import json, os, ray
        ray.init()
        @ray.remote
        def square(x):
            return x * x
        total = sum(ray.get([square.remote(x) for x in range(4)]))
        resources = {k: v for k, v in ray.cluster_resources().items() if k in ("CPU", "GPU", "memory")}
        print("RESULT", json.dumps({"total": total, "resources": resources, "hello": os.environ.get("HELLO"),
                                    "visible": os.environ.get("CUDA_VISIBLE_DEVICES")}))
        """)
    )
    return tmp_path


def result(text: str) -> dict[str, object]:
    """What the script printed."""
    (line,) = [line for line in text.splitlines() if line.startswith("RESULT ")]
    found: dict[str, object] = json.loads(line.removeprefix("RESULT "))
    return found


def test_submit_uploads_the_working_dir_follows_the_output_and_sees_only_the_grant(live: Live, script: Path) -> None:
    done = live.ray(
        "submit", "--submission-id", "cli-plain", "--working-dir", str(script), "--entrypoint-num-cpus", "2",
        "--runtime-env-json", '{"env_vars": {"HELLO": "fabric"}}', "--metadata-json", '{"owner": "ada"}',
        "--", "python", "plain.py",
    )  # fmt: skip
    seen = result(done.stdout + done.stderr)
    assert (seen["total"], seen["hello"]) == (14, "fabric")
    assert seen["resources"] == {"CPU": 2.0, "memory": 1073741824.0}
    assert "succeeded" in (done.stdout + done.stderr).lower()
    assert "succeeded" in live.ray("status", "cli-plain").stdout
    assert result(live.ray("logs", "cli-plain").stdout)["total"] == 14
    assert live.workload("cli-plain")["metadata"]["owner"] == "ada"
    assert "cli-plain" in live.ray("list").stdout
    assert "'cli-plain' deleted successfully" in live.ray("delete", "cli-plain").stdout
    assert live.ray("status", "cli-plain", check=False).returncode != 0


def test_a_gpu_job_runs_on_the_gpu_tier_with_a_head_elsewhere(live: Live, script: Path) -> None:
    done = live.ray(
        "submit", "--submission-id", "cli-gpu", "--working-dir", str(script), "--entrypoint-num-gpus", "1",
        "--entrypoint-num-cpus", "1", "--", "python", "plain.py",
    )  # fmt: skip
    seen = result(done.stdout + done.stderr)
    resources = seen["resources"]
    assert isinstance(resources, dict)
    assert (resources["CPU"], resources["GPU"]) == (1.0, 1.0)
    assert seen["visible"] == "0", "the driver holds its GPU itself"
    slices = {s["group"]: s["tier"] for s in live.workload("cli-gpu")["slices"]}
    assert slices == {"head": "commodity", "workers": "gpu"}


def test_what_does_not_fit_yet_waits_in_the_fabric_and_says_why(live: Live) -> None:
    everything = json.dumps({"fabric.gpus": "1", "fabric.workers": "4", "fabric.walltime": "600"})
    live.ray("submit", "--no-wait", "--submission-id", "cli-full", "--metadata-json", everything, "--", "sleep", "300")
    until(lambda: live.workload("cli-full")["state"] != "queued", 20, lambda: live.explained("cli-full"))
    live.ray("submit", "--no-wait", "--submission-id", "cli-next", "--metadata-json", everything, "--", "echo", "mine")
    live.ray("submit", "--no-wait", "--submission-id", "cli-last", "--metadata-json", everything, "--", "echo", "last")
    until(lambda: live.workload("cli-last")["expected_start"] is not None, 20, lambda: live.explained("cli-last"))
    status = live.ray("status", "cli-next").stdout
    assert "PENDING" in status
    explained = live.explained("cli-next")
    assert "4 GPUs short" in explained
    assert "cli-next" in live.explained("cli-last"), "who is ahead"
    start = live.workload("cli-next")["expected_start"]
    assert 300 < start - time.time() < 700, "at the end of the first one's walltime"
    live.ray("stop", "cli-last")
    assert live.wait("cli-last", "cancelled")["state"] == "cancelled"
    live.ray("stop", "cli-full")
    assert "mine" in live.ray("logs", "cli-next", "--follow").stdout, "follows from the queue to the end"
    assert live.wait("cli-next", "succeeded")["attempt"] == 1
    assert "was stopped" in live.ray("status", "cli-full").stdout


def test_a_job_may_take_a_group_of_workers_on_each_tier_and_ray_itself_says_so(live: Live, tmp_path: Path) -> None:
    (tmp_path / "nodes.py").write_text(
        "import json, ray\nray.init()\n"
        "print('RESULT', json.dumps({n['Labels']['fabric/slice']: [n['Labels']['fabric/node'], "
        "n['Labels']['fabric/tier'], *(n['Resources'].get(k, 0) for k in ('GPU', 'CPU'))] for n in ray.nodes()}))\n"
    )
    groups = [
        {"name": "trainers", "count": 2, "tier": "gpu", "gpus": 1.0},
        {"name": "loaders", "count": 1, "tier": "commodity", "cpus": 2.0},
    ]
    metadata = json.dumps({"fabric.workload": json.dumps({"groups": groups})})
    done = live.ray(
        "submit", "--submission-id", "cli-both", "--working-dir", str(tmp_path), "--metadata-json", metadata,
        "--", "python", "nodes.py",
    )  # fmt: skip
    seen = result(done.stdout + done.stderr)
    told = {
        s["name"]: [
            s["node"],
            s["tier"],
            0 if s["group"] == "head" else s["gpus"],
            0 if s["group"] == "head" else s["cpus"],
        ]
        for s in live.workload("cli-both")["slices"]
    }
    assert seen == told
    assert {tier for _, tier, _, _ in told.values()} == {"gpu", "commodity"}


@pytest.mark.timeout(500)
def test_all_that_ray_can_ask_for_an_entrypoint_is_granted_and_ray_itself_says_so(live: Live, tmp_path: Path) -> None:
    (tmp_path / "where.py").write_text(
        textwrap.dedent("""
        import json, os, cowsay, ray
        ray.init()
        nodes = {node["Labels"]["fabric/slice"]: {
            "tier": node["Labels"]["fabric/tier"],
            "CPU": node["Resources"].get("CPU", 0),
            "memory": node["Resources"].get("memory", 0),
        } for node in ray.nodes()}
        print("RESULT", json.dumps({"cowsay": cowsay.__file__, "nodes": nodes, "slice": os.environ["FABRIC_SLICE"]}))
        """)
    )
    done = live.ray(
        "submit", "--submission-id", "cli-asks", "--working-dir", str(tmp_path),
        "--runtime-env-json", '{"pip": ["cowsay==6.1"]}', "--entrypoint-resources", '{"CPU": 2}',
        "--entrypoint-label-selector", '{"fabric/tier": "gpu"}', "--entrypoint-memory", str(1536 * 2**20),
        "--", "python", "where.py", timeout_s=400,
    )  # fmt: skip
    seen = result(done.stdout + done.stderr)
    assert "site-packages/cowsay" in str(seen["cowsay"])
    nodes = seen["nodes"]
    assert isinstance(nodes, dict)
    assert nodes["workers-0"] == {"tier": "gpu", "CPU": 2.0, "memory": 1536 * 2**20}
    # Ray connects every driver on this machine to the head, but its process is where it was asked for.
    assert seen["slice"] == "workers-0"
    assert {name: node["tier"] for name, node in nodes.items()} == {"head": "commodity", "workers-0": "gpu"}


def test_the_python_client_works(live: Live) -> None:
    from ray.job_submission import JobStatus, JobSubmissionClient

    client = JobSubmissionClient(live.address)
    name = client.submit_job(entrypoint="python -c 'print(6 * 7)'")
    until(lambda: client.get_job_status(name).is_terminal(), 150, lambda: client.get_job_logs(name))
    assert client.get_job_status(name) is JobStatus.SUCCEEDED, client.get_job_logs(name)
    # Ray's own line about the entrypoint may come behind what a quick one prints.
    assert client.get_job_logs(name).splitlines().count("42") == 1
    assert name in {job.submission_id for job in client.list_jobs()}
    assert client.delete_job(name)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--entrypoint-num-gpus", "64"), "largest node"),
        (("--entrypoint-resources", '{"unicorn": 1}'), "unicorn"),
        (("--metadata-json", '{"fabric.tier": "moon"}'), "moon"),
        (("--metadata-json", '{"fabric.gpu": "1"}'), "fabric.gpus"),
    ],
)
def test_what_can_never_run_is_refused_with_the_reason(live: Live, words: tuple[str, ...], says: str) -> None:
    done = live.ray("submit", "--submission-id", "cli-refused", *words, "--", "true", check=False)
    assert done.returncode != 0
    assert says in done.stdout + done.stderr
    assert live.ray("status", "cli-refused", check=False).returncode != 0


def test_asking_ray_for_more_than_the_grant_is_told_soon(live: Live, tmp_path: Path) -> None:
    (tmp_path / "greedy.py").write_text(
        "import ray\nray.init()\n@ray.remote(num_cpus=64)\ndef f(): return 1\nprint(ray.get(f.remote()))\n"
    )
    live.ray(
        "submit",
        "--no-wait",
        "--submission-id",
        "cli-greedy",
        "--working-dir",
        str(tmp_path),
        "--",
        "python",
        "greedy.py",
    )
    live.wait("cli-greedy", "running")
    until(
        lambda: "asks Ray for 64 CPU" in live.workload("cli-greedy")["message"],
        90,
        lambda: live.explained("cli-greedy"),
    )
    assert "--entrypoint-num-cpus" in live.explained("cli-greedy")
    until(lambda: "[fabric] asks Ray for 64 CPU" in live.ray("logs", "cli-greedy").stdout, 10, lambda: "not in the log")
    live.ray("stop", "cli-greedy")
    live.wait("cli-greedy", "cancelled")
