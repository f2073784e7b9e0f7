"""Ray's Jobs API over the records."""

import asyncio
import json
from typing import Any

import pytest
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from fabric.scheduler.ports import ClusterView, Phase
from fabric.workloads.states import RAY_STATUS, State
from tests.unit.control.world import START, World, zipped


def submit(world: World, **fields: Any) -> Any:
    return world.client().post("/api/jobs/", json={"entrypoint": "python x.py", **fields})


def test_the_version_is_one_that_the_stock_client_accepts(world: World) -> None:
    answer = world.client().get("/api/version")
    assert answer.json() == {"version": "4", "ray_version": "2.60.0", "ray_commit": "", "session_name": "toy"}


def test_a_submission_is_recorded_and_wakes_the_loop(world: World) -> None:
    answer = submit(world, submission_id="mine", metadata={"owner": "me"}, entrypoint_num_cpus=2, runtime_env=None)
    assert (answer.status_code, answer.json()) == (200, {"job_id": "mine", "submission_id": "mine"})
    record = world.records.get("mine")
    assert (record.state, record.spec.groups[0].cpus, record.at.submitted) == (State.QUEUED, 2.0, START)
    assert world.process.woken == 1


@pytest.mark.parametrize("path", ["/api/jobs", "/api/jobs/"])
def test_both_spellings_of_the_path_work(world: World, path: str) -> None:
    assert world.client().post(path, json={"entrypoint": "true"}).status_code == 200
    assert len(world.client().get(path).json()) == 1


def test_a_name_is_made_up_like_rays(world: World) -> None:
    assert submit(world).json()["submission_id"].startswith("raysubmit_")


def test_a_name_that_is_taken_is_refused_in_rays_words(world: World) -> None:
    submit(world, submission_id="mine")
    answer = submit(world, submission_id="mine")
    assert answer.status_code == 400
    assert answer.text == ("Job with submission_id mine already exists. Please use a different submission_id.")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "no JSON"),
        (b"[]", "JSON object"),
        (b"{}", "entrypoint: is required"),
        (b'{"entrypoint": "  "}', "needs an entrypoint"),
        (b'{"entrypoint": "x", "entry": 1}', "entry: unknown key"),
        (b'{"entrypoint": "x", "entrypoint_num_cpus": NaN}', "no JSON"),
        (b'{"entrypoint": "x", "entrypoint_num_cpus": "2"}', "entrypoint_num_cpus"),
        (b'{"entrypoint": "x", "metadata": {"a": 1}}', "metadata.a"),
        (b'{"entrypoint": "x", "submission_id": "a/b"}', "'a/b' is not a workload name"),
        (b'{"entrypoint": "x", "submission_id": "' + b"a" * 200 + b'"}', "at most"),
        (b'{"entrypoint": "x\\u0000"}', "code 0"),
        (b'{"entrypoint": "\\ud800"}', "body"),
        (b'{"entrypoint": "x", "entrypoint_num_gpus": 3}', "largest node (gpu-0, tier gpu) has 2 GPUs"),
        (b'{"entrypoint": "x", "entrypoint_num_cpus": 2, "metadata": {"fabric.cpus": "1"}}', "entrypoint needs 2 CPUs"),
        (b'{"entrypoint": "x", "metadata": {"fabric.workers": "99"}}', "cannot be placed even on the empty site"),
        (b'{"entrypoint": "x", "runtime_env": {"working_dir": "gcs://_ray_pkg_0123456789.zip"}}', "is not here"),
        (b'{"entrypoint": "x", "runtime_env": {"py_modules": ["gcs://../../etc"]}}', "py_modules[0]"),
        (b'{"entrypoint": "x", "runtime_env": {"working_dir": "./here"}}', "local path"),
        (b'{"entrypoint": "x", "runtime_env": {"working_dir": 3}}', "must be text"),
        (b'{"entrypoint": "x", "runtime_env": {"py_modules": "gcs://a.zip"}}', "list of URIs"),
        (b'{"entrypoint": "x", "runtime_env": {"env_vars": {"A": 1}}}', "env_vars"),
        (
            b'{"entrypoint": "x", "runtime_env": {"env_vars": {"FABRIC_SLICE": "1"}}}',
            "env_vars: FABRIC_SLICE is set by",
        ),
        (b'{"entrypoint": "x", "runtime_env": {"env_vars": {"RAY_AUTH_MODE": "x"}}}', "RAY_AUTH_MODE is set by"),
        (b'{"entrypoint": "x", "runtime_env": {"env_vars": {"RAY_ADDRESS": "x"}}}', "RAY_ADDRESS is set by the fabric"),
        (b'{"entrypoint": "x", "runtime_env": {"env_vars": {"A=B": "1"}}}', "no name of an environment variable"),
    ],
)
def test_a_wrong_submission_is_refused_as_text_and_nothing_is_kept(world: World, body: bytes, words: str) -> None:
    answer = world.client().post("/api/jobs/", content=body)
    assert answer.status_code == 400, answer.text
    assert words in answer.text
    assert answer.headers["content-type"].startswith("text/plain")
    assert "Traceback" not in answer.text
    assert world.records.list() == ()


def test_our_clients_may_ask_for_errors_as_json(world: World) -> None:
    answer = world.client(Accept="application/json").get("/api/jobs/nobody")
    assert answer.json()["code"] == "not_found"


def test_uploaded_packages_may_be_used(world: World) -> None:
    name = "_ray_pkg_0123456789abcdef.zip"
    world.packages.put(name, [zipped(a="b")])
    runtime_env = {"working_dir": f"gcs://{name}", "py_modules": [f"gcs://{name}", "s3://bucket/x.zip"], "pip": ["six"]}
    assert submit(world, submission_id="mine", runtime_env=runtime_env).status_code == 200
    assert world.records.get("mine").spec.runtime_env == runtime_env


def test_a_job_is_described_as_ray_describes_it(world: World) -> None:
    submit(world, submission_id="mine", metadata={"owner": "me"}, runtime_env={"env_vars": {"A": "b"}})
    world.run("mine")
    assert world.client().get("/api/jobs/mine").json() == {
        "type": "SUBMISSION", "job_id": None, "submission_id": "mine", "driver_info": None, "status": "RUNNING",
        "entrypoint": "python x.py", "message": "running", "error_type": None, "start_time": int(START + 3) * 1000,
        "end_time": None, "metadata": {"owner": "me"}, "runtime_env": {"env_vars": {"A": "b"}},
        "driver_agent_http_address": None, "driver_node_id": None, "driver_exit_code": None,
    }  # fmt: skip
    world.end("mine")
    ended = world.client().get("/api/jobs/mine").json()
    assert (ended["status"], ended["end_time"], ended["driver_exit_code"]) == ("SUCCEEDED", int(START + 9) * 1000, 0)


@pytest.mark.parametrize("state", list(State))
def test_every_state_is_told_as_one_of_rays(world: World, state: State) -> None:
    world.job("mine")
    world.change("mine", state)
    assert world.client().get("/api/jobs/mine").json()["status"] == RAY_STATUS[state]


def test_a_waiting_job_says_what_is_missing_who_is_ahead_and_when_it_should_start(world: World) -> None:
    world.job("mine")
    assert world.client().get("/api/jobs/mine").json()["message"].startswith("waits: the scheduler has not looked")
    waits = "group workers: 0 of 1 workers (2 GPUs each) fit on tier gpu now, 2 GPUs short; behind other"
    world.change("mine", State.QUEUED, waits_for=waits, expected_start=START + 60)
    told = world.client().get("/api/jobs/mine").json()
    assert (told["status"], told["message"]) == (
        "PENDING",
        f"waits: {waits}; expected start 2025-06-15 15:07:40 UTC",
    )


def test_a_job_that_lost_an_attempt_says_so_while_it_waits(world: World) -> None:
    world.job("mine")
    world.change("mine", State.QUEUED, attempt=2, message="attempt 1 lost (node gone)", waits_for="its turn")
    message = world.client().get("/api/jobs/mine").json()["message"]
    assert message == "attempt 1 lost (node gone); waits: its turn; its start cannot be foreseen yet"


def test_services_are_no_jobs(world: World) -> None:
    world.client().post("/api/fabric/workloads", json={"spec": SERVICE})
    world.job("mine")
    assert [job["submission_id"] for job in world.client().get("/api/jobs/").json()] == ["mine"]
    assert world.client().get("/api/jobs/chat").text == "Job chat does not exist: chat is a service"


SERVICE = {"name": "chat", "kind": "service", "service": {"model": "echo", "engine": "echo"}}


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("POST", "/stop"), ("DELETE", ""), ("GET", "/logs")],
)
def test_an_unknown_job_is_not_found_in_rays_words(world: World, method: str, path: str) -> None:
    answer = world.client().request(method, f"/api/jobs/nobody{path}")
    assert (answer.status_code, answer.text) == (404, "Job nobody does not exist")


def test_stopping_is_recorded_and_stopping_again_tells_that_nothing_ran(world: World) -> None:
    world.job("mine")
    assert world.client().post("/api/jobs/mine/stop").json() == {"stopped": True}
    assert world.records.get("mine").stop_requested
    world.change("mine", State.CANCELLED)
    assert world.client().post("/api/jobs/mine/stop").json() == {"stopped": False}


def test_only_what_has_ended_is_deleted(world: World) -> None:
    world.job("mine")
    answer = world.client().delete("/api/jobs/mine")
    assert answer.status_code == 500
    assert answer.text.startswith("Attempted to delete job 'mine', but it is in a non-terminal state PENDING.")
    world.run("mine")
    world.write("mine", "hello\n")
    world.end("mine")
    assert world.client().delete("/api/jobs/mine").json() == {"deleted": True}
    assert world.client().get("/api/jobs/mine").status_code == 404
    assert world.logs.read("mine") == (b"", 0)


def test_a_job_that_another_one_comes_after_is_not_deleted(world: World) -> None:
    world.job("first")
    world.change("first", State.SUCCEEDED)
    world.job("second", after=("first",))
    answer = world.client().delete("/api/jobs/first")
    assert (answer.status_code, "second" in answer.text) == (409, True)


def test_a_whole_log_is_one_json_text_whatever_is_in_it(world: World) -> None:
    text = 'quotes " and \\ and tabs\t and ünïcödé 🜲\n' * 3000
    world.job("mine")
    world.run("mine")
    world.write("mine", text)
    world.write("mine", b"\xff broken \xf0\x9f")
    answer = world.client().get("/api/jobs/mine/logs")
    assert json.loads(answer.text)["logs"] == text + "\ufffd broken \ufffd"


def follow(world: World, name: str) -> str:
    pieces: list[str] = []
    with world.client().websocket_connect(f"/api/jobs/{name}/logs/tail") as socket:

        def read() -> None:
            while True:
                pieces.append(socket.receive_text())

        with pytest.raises(WebSocketDisconnect) as end:
            read()
    assert end.value.code == 1000
    return "".join(pieces)


def test_a_followed_log_ends_with_its_last_byte(world: World) -> None:
    text = "ünïcödé 🜲\n" * 20_000
    world.job("mine")
    world.run("mine")
    world.write("mine", text)
    world.end("mine")
    assert follow(world, "mine") == text


def test_a_followed_log_of_a_job_cancelled_in_the_queue_ends_at_once(world: World) -> None:
    world.job("mine")
    world.change("mine", State.CANCELLED, at={"ended": START})
    assert follow(world, "mine") == ""


def test_following_ends_after_a_while_where_nothing_says_that_the_log_is_complete(world: World) -> None:
    world.job("mine")
    world.run("mine")
    world.write("mine", "half a li")
    world.change("mine", State.FAILED, at={"ended": START + 9})
    world.clock.at = START + 60
    assert follow(world, "mine") == "half a li"


async def test_following_stays_open_while_waiting_and_over_attempts(world: World) -> None:
    from fabric.control.callers import LOCAL_ADMIN
    from fabric.control.http.logs import follow as follow_log

    world.job("mine")
    seen: list[str] = []

    async def read() -> None:
        async for piece in follow_log(world.service, "mine", LOCAL_ADMIN, 0.005):
            seen.append(piece)

    reader = asyncio.create_task(read())
    await asyncio.sleep(0.05)
    assert not reader.done()
    world.run("mine")
    world.write("mine", "one 🜲"[:5] + "\n")
    world.logs.mark_complete("mine", 1)
    world.change("mine", State.QUEUED, attempt=2)
    await asyncio.sleep(0.05)
    assert not reader.done()
    world.run("mine")
    world.write("mine", "two\n", attempt=2)
    world.end("mine")
    await asyncio.wait_for(reader, 5)
    assert "".join(seen) == "one 🜲\n[fabric] attempt 2\ntwo\n"


async def test_a_reader_that_takes_nothing_holds_up_nobody(world: World) -> None:
    from fabric.control.callers import LOCAL_ADMIN
    from fabric.control.http.logs import follow as follow_log

    world.job("mine")
    world.run("mine")
    world.write("mine", "x" * 500_000)
    world.end("mine")
    slow = follow_log(world.service, "mine", LOCAL_ADMIN, 0.005)
    first = await anext(aiter(slow))
    fast = [piece async for piece in follow_log(world.service, "mine", LOCAL_ADMIN, 0.005)]
    assert (len(first), sum(map(len, fast))) == (2**16, 500_000)


def test_following_an_unknown_job_is_refused_before_the_socket_opens(world: World) -> None:
    with (
        pytest.raises(WebSocketDenialResponse) as refused,
        world.client().websocket_connect("/api/jobs/nobody/logs/tail"),
    ):
        pass
    assert (refused.value.status_code, refused.value.text) == (404, "Job nobody does not exist")


def test_a_reader_that_leaves_ends_its_relay(world: World) -> None:
    world.job("mine")
    with world.client().websocket_connect("/api/jobs/mine/logs/tail") as socket:
        socket.close()


def test_the_values_of_secrets_are_hidden_from_viewers(world: World) -> None:
    viewer = world.issue("looks", "viewer", "default")
    submit(world, submission_id="mine", runtime_env={"env_vars": {"TOKEN": "secret"}})
    assert "secret" not in world.client(viewer).get("/api/jobs/mine").text
    assert "secret" in world.client().get("/api/jobs/mine").text


def test_a_whole_spec_in_the_metadata_tells_viewers_no_values_either(world: World) -> None:
    viewer = world.client(world.issue("looks", "viewer", "default"))
    spec = {"fabric.workload": json.dumps({"env": {"TOKEN": "s3cret"}, "groups": [{"cpus": 1.0}]})}
    submit(world, submission_id="mine", metadata=spec | {"owner": "me"})
    for path in ("/api/jobs/mine", "/api/jobs/", "/api/fabric/workloads", "/api/fabric/workloads/mine"):
        said = viewer.get(path)
        assert (said.status_code, "s3cret" in said.text, '"owner":"me"' in said.text) == (200, False, True), path
    assert "s3cret" in world.client().get("/api/jobs/mine").text


def test_views_of_clusters_do_not_matter_to_jobs(world: World) -> None:
    world.views["mine-1"] = ClusterView("mine-1", Phase.READY)
    assert world.client().get("/api/jobs/").json() == []
