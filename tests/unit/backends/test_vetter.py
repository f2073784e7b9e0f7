"""Nodes are asked once for each of their starts, what they show is kept on them, and people hear of it."""

import json
from typing import Any

import pytest

from fabric.backends.kuberay import names
from fabric.backends.kuberay.api import EVENTS, JOBS, NODES, PODS
from fabric.backends.kuberay.mirror import Mirror
from fabric.backends.kuberay.nodes import nodes_seen
from fabric.backends.kuberay.pods import Home
from fabric.backends.kuberay.preflight_job import Asked, ask_of, asked_by, job_of
from fabric.backends.kuberay.vetter import Vetter, VettingSurface
from fabric.config.kubernetes import FabricProfile, Mount
from fabric.config.site import Site
from fabric.config.vet import Vet
from fabric.core.errors import Denied
from fabric.core.numa import Note
from tests.preflights import NOW, AskedApiServer, node_of, shows, vetting_site

GOOD = {"g0": shows(), "c0": shows()}


class World:
    """One node of each tier, and what vets them."""

    def __init__(self, site: Site | None = None, api: AskedApiServer | None = None) -> None:
        self.api, self.at, self.changes = api or AskedApiServer(), NOW, 0
        self.site = site or vetting_site()
        if api is None:
            self.api.add(NODES, node_of("g0", "gpu", gpus=2), node_of("c0", "commodity"))
        preflights = f"{names.PREFLIGHT},{names.SITE}=pods"
        self.heard = {
            kind: Mirror(self.api, kind, "" if kind == NODES else preflights, lambda: None, grouped_by=names.PREFLIGHT)
            for kind in (NODES, JOBS, PODS)
        }
        self._hear()
        nodes, jobs, pods = self.heard.values()
        surface = VettingSurface(self.api, Home(self.site), nodes, jobs=jobs, pods=pods)
        self.vetter = Vetter(surface, self._changed, lambda: self.at)

    def _changed(self) -> None:
        self.changes += 1

    def settle(self, times: int = 3) -> None:
        """Look so often that what follows from each look has followed."""
        for _ in range(times):
            self._hear()
            self.vetter.settle()
        self._hear()

    def _hear(self) -> None:
        """Take in what watches would tell; nothing is listened to in between."""
        for mirror in self.heard.values():
            found = self.api.listing(mirror._kind, mirror._selector)
            mirror._replace({item["metadata"]["name"]: item for item in found.items}, found.version)

    def stands(self) -> dict[str, str]:
        """State of each node, and why."""
        objects = self.heard[NODES].objects().values()
        seen = nodes_seen(self.site, objects, self.vetter.standings(objects))
        return {n.name: f"{n.state} {seen.notes.get(n.name, Note()).said}".strip() for n in seen.nodes}

    def made(self) -> int:
        """How many Jobs were made so far."""
        return sum(call[:2] == ("create", "jobs") for call in self.api.calls)

    def events(self) -> list[tuple[str, str]]:
        found = sorted(self.api.listing(EVENTS).items, key=lambda item: str(item["metadata"]["name"]))
        return [(item["reason"], item["message"]) for item in found]


@pytest.fixture
def world() -> World:
    return World()


def test_good_nodes_are_asked_once_and_admitted_and_no_job_is_left(world: World) -> None:
    world.settle(1)
    assert world.stands() == {"c0": "vetting its preflight has not begun", "g0": "vetting its preflight has not begun"}
    world.settle()
    assert world.stands()["g0"] == "vetting its preflight runs"
    world.api.answers = GOOD
    world.api.again()
    world.settle()
    assert world.stands() == {"c0": "ready", "g0": "ready"}
    assert (world.api.named(JOBS), world.made()) == ([], 2)
    assert world.events() == [("NodeAdmitted", "node c0 is admitted"), ("NodeAdmitted", "node g0 is admitted")]
    changes = world.changes
    world.at += 1e6
    world.settle()
    assert (world.made(), world.changes) == (2, changes), "who was admitted is left alone"


def test_a_refused_node_is_told_and_asked_again_after_a_while(world: World) -> None:
    world.api.answers = {"c0": shows(), "g0": shows(bad=["/dev/cxi0 is missing"])}
    world.settle()
    assert world.stands()["g0"] == "refused /dev/cxi0 is missing"
    assert ("NodeRefused", "node g0 is refused: /dev/cxi0 is missing") in world.events()
    world.at += 300
    world.settle()
    assert world.made() == 2
    world.api.answers = {"c0": shows(), "g0": shows(at=NOW + 600)}
    world.at += 300
    world.settle()
    assert world.stands()["g0"] == "ready"


def test_a_node_that_was_started_anew_shows_itself_anew(world: World) -> None:
    world.api.answers = GOOD
    world.settle()
    world.api.answers = {}
    world.api.change(NODES, "g0", status={"nodeInfo": {"bootID": "boot-2"}})
    world.settle()
    assert world.stands() == {"c0": "ready", "g0": "vetting its preflight runs"}
    (job,) = world.api.listing(JOBS).items
    asked = asked_by(job)
    assert asked is not None
    assert (asked.node, asked.boot) == ("g0", "boot-2")
    world.api.change(NODES, "g0", status={"nodeInfo": {"bootID": "boot-3"}})
    world.settle()
    (later,) = world.api.listing(JOBS).items
    assert later["metadata"]["name"] != job["metadata"]["name"], "nobody answers for another start"


def test_a_node_that_comes_back_from_being_drained_shows_itself_anew(world: World) -> None:
    world.api.answers = GOOD
    world.settle()
    world.api.change(NODES, "g0", spec={"unschedulable": True})
    world.settle()
    assert (world.stands()["g0"], world.api.kept("g0"), world.made()) == ("draining", {}, 2)
    world.api.answers = {}
    world.api.change(NODES, "g0", spec={"unschedulable": None})
    world.settle()
    assert world.stands()["g0"] == "vetting its preflight runs"


def test_a_node_that_is_doubted_shows_itself_anew_and_takes_nothing_meanwhile(world: World) -> None:
    world.api.answers = GOOD
    world.settle()
    world.api.answers = {}
    world.vetter.doubt("g0")
    world.settle()
    assert world.stands() == {"c0": "ready", "g0": "vetting its preflight runs"}
    world.api.answers = {"g0": shows(bad=["/dev/cxi0 is missing"])}
    world.api.again()
    world.settle()
    assert world.stands()["g0"] == "refused /dev/cxi0 is missing"


def test_a_node_that_is_drained_or_gone_while_it_is_asked_is_asked_no_more(world: World) -> None:
    world.settle()
    assert len(world.api.named(JOBS)) == 2
    world.api.change(NODES, "g0", spec={"unschedulable": True})
    world.api.take(NODES, "c0")
    world.settle()
    assert world.api.named(JOBS) == []


def test_another_control_that_starts_goes_on_where_the_first_one_was(world: World) -> None:
    world.api.answers = {"c0": shows()}
    world.settle()
    later = World(world.site, world.api)
    later.settle()
    assert later.made() == 2
    assert later.stands() == {"c0": "ready", "g0": "vetting its preflight runs"}
    later.api.answers = GOOD
    later.api.again()
    later.settle()
    assert later.stands()["g0"] == "ready"


def test_a_preflight_that_fails_or_says_nothing_readable_refuses_the_node(world: World) -> None:
    world.api.answers = {"g0": "exec /usr/bin/python: exec format error", "c0": {"cpus": "many"}}
    world.settle()
    found = world.stands()
    assert found["g0"] == "refused its preflight failed (Error): exec /usr/bin/python: exec format error"
    assert found["c0"].startswith('refused its preflight says what nobody can read: {"cpus": "many"}')


def test_who_waits_for_accelerators_that_others_use_has_all_the_time(world: World) -> None:
    world.api.hosts["g0"] = "0/2 nodes are available: 1 Insufficient nvidia.com/gpu"
    world.settle()
    world.at += 1e5
    world.settle()
    assert world.stands()["g0"] == f"vetting its preflight waits: {world.api.hosts['g0']}"
    assert world.made() == 2


def test_an_image_that_cannot_be_pulled_refuses_the_node_at_the_deadline(world: World) -> None:
    world.settle()
    pulls = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image fabric:1"}}
    for name in world.api.named(PODS):
        world.api.change(PODS, name, status={"containerStatuses": [{"name": "preflight", "state": pulls}]})
    world.settle()
    assert world.stands()["g0"] == "vetting its preflight waits: ImagePullBackOff: no such image fabric:1"
    world.at += Vet().deadline_s + 1
    world.settle(1)
    assert world.stands()["g0"] == "refused ImagePullBackOff: no such image fabric:1"


def test_a_device_that_is_not_there_refuses_the_node_without_waiting(world: World) -> None:
    world.settle()
    for name in world.api.named(PODS):
        world.api.change(PODS, name, status={"phase": "Pending"})
        uid = world.api.get(PODS, name)["metadata"]["uid"]
        says = "MountVolume.SetUp failed: hostPath type check failed: /dev/cxi0 is not a character device"
        told = {"reason": "FailedMount", "message": says, "type": "Warning", "lastTimestamp": "2026-01-01T00:00:00Z"}
        world.api.add(EVENTS, {"metadata": {"name": f"e-{name}"}, "involvedObject": {"uid": uid}, **told})
    world.at += 6
    world.settle(1)
    assert (
        "refused FailedMount: MountVolume.SetUp failed: hostPath type check failed: /dev/cxi0" in world.stands()["g0"]
    )


def test_a_quota_that_lets_no_pod_be_made_is_the_reason_at_the_deadline(world: World) -> None:
    world.api._reconcile = lambda: None  # type: ignore[method-assign]  # no controller makes pods
    world.settle()
    uid = next(item for item in world.api.listing(JOBS).items)["metadata"]["uid"]
    told = {"reason": "FailedCreate", "message": "exceeded quota: pods", "type": "Warning"}
    world.api.add(EVENTS, {"metadata": {"name": "e"}, "involvedObject": {"uid": uid}, **told})
    world.at += Vet().deadline_s + 1
    world.settle(1)
    assert any(said == "refused FailedCreate: exceeded quota: pods" for said in world.stands().values())


def test_a_job_that_kubernetes_gives_up_is_the_reason(world: World) -> None:
    world.settle()
    failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "its pod was evicted"}
    for name in world.api.named(JOBS):
        world.api.change(JOBS, name, status={"conditions": [failed]})
    world.settle(1)
    assert world.stands()["g0"] == "vetting its preflight runs", "its pod may say why"
    for name in world.api.named(PODS):
        world.api.take(PODS, name)
    world.settle(1)
    assert world.stands()["g0"] == "refused its preflight failed: its pod was evicted"


def test_a_missing_right_is_said_and_nobody_is_admitted(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.api.refuses["create", "jobs"] = Denied("grant verb create on resource jobs")
    world.settle()
    assert "nodes cannot be vetted as they should be: grant verb create on resource jobs" in caplog.text
    assert world.stands()["g0"] == "vetting its preflight has not begun"


def test_so_many_nodes_are_asked_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fabric.backends.kuberay.vetter._MOST_AT_ONCE", 1)
    world.settle()
    assert (len(world.api.named(JOBS)), world.made()) == (1, 1)
    world.api.answers = GOOD
    world.api.again()
    world.settle()
    assert (world.made(), world.stands()) == (2, {"c0": "ready", "g0": "ready"})


def job(**group: Any) -> dict[str, Any]:
    site = vetting_site(**group)
    tier = site.tiers[0]
    assert tier.kubernetes is not None
    asked = Asked(node="g0", boot="b", ask="a", at=NOW)
    return job_of(asked, tier, tier.kubernetes, Home(site), hostname="host-g0")


def test_the_pod_of_a_preflight_is_bound_to_its_node_with_all_that_work_there_would_have() -> None:
    profile = FabricProfile(
        version="cxi-1", devices=("/dev/cxi0",), privileged=True, host_network=True,
        env={"NCCL_NET": "AWS Libfabric"}, mounts=(Mount(host="/opt/cray"),),
    )  # fmt: skip
    made = job(vet=Vet(shm="1 GiB"), profile=profile, mounts=(Mount(host="/scratch", writable=True),))
    spec = made["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert spec["nodeSelector"] == {names.HOSTNAME: "host-g0"}
    assert spec["tolerations"] == [{"operator": "Exists", "key": "gpu", "effect": "NoSchedule"}]
    assert (spec["hostNetwork"], container["securityContext"]) == (True, {"privileged": True})
    assert container["resources"]["limits"] == {"nvidia.com/gpu": "2"}
    assert container["command"][3] == '{"devices": ["/dev/cxi0"], "folders": ["/tmp", "/scratch"]}'
    assert {"name": "device-0", "hostPath": {"path": "/dev/cxi0", "type": "CharDevice"}} in spec["volumes"]
    assert {"name": "shared-mem", "emptyDir": {"sizeLimit": str(2**30), "medium": "Memory"}} in spec["volumes"]
    assert made["spec"]["backoffLimit"] == 0
    assert len(made["metadata"]["name"]) <= 63


def test_a_preflight_of_the_network_lets_nccl_say_what_it_chooses() -> None:
    profile = FabricProfile(version="1", env={"NCCL_NET": "AWS Libfabric", "FI_PROVIDER": "cxi"})
    (container,) = job(vet=Vet(network=True), profile=profile)["spec"]["template"]["spec"]["containers"]
    told = {item["name"]: item["value"] for item in container["env"]}
    assert (told["NCCL_DEBUG"], told["NCCL_NET"]) == ("INFO", "AWS Libfabric")
    assert json.loads(container["command"][3])["nccl"] == told["NCCL_DEBUG_FILE"]


def test_another_image_profile_or_folder_is_another_question() -> None:
    def ask(**group: Any) -> str:
        tier = vetting_site(**group).tiers[0]
        assert tier.kubernetes is not None
        return ask_of(tier, tier.kubernetes, Home(vetting_site()))

    asks = [ask(), ask(image="fabric:2"), ask(mounts=(Mount(host="/scratch", writable=True),)), ask(vet=Vet(shm="1 B"))]
    assert len(set(asks)) == len(asks)
    assert ask() == ask(vet=Vet(again_s=60.0)), "how often is no question to the node"


def test_an_object_of_others_asks_nothing() -> None:
    assert asked_by({"metadata": {"name": "x"}}) is None
    assert asked_by({"metadata": {"name": "x", "annotations": {names.ASKED: "{}"}}}) is None
