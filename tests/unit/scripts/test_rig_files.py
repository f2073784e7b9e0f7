"""What the rig writes for its parts: builds, images, access files, configurations."""

import datetime
import json
import stat
import tarfile
from pathlib import Path

import pytest
from cryptography import x509

from scripts.rigging import go_tools, images, nodes
from scripts.rigging.building import missing
from scripts.rigging.control_plane import api_server, stage_files
from scripts.rigging.credentials import USERS, make_secrets
from scripts.rigging.errors import RigError
from scripts.rigging.layout import GPU, NODES, ROOT, Layout
from scripts.rigging.pins import TOOLS, GoTool

GPU_NODE, PLAIN_NODE = NODES
NOW = datetime.datetime(2026, 11, 30, tzinfo=datetime.UTC)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "cache", tmp_path / "state", tmp_path / "run", tmp_path / "shared")


def test_an_empty_cache_lacks_everything(layout: Layout) -> None:
    lacking = missing(layout)
    assert {"etcd-server", "runc", "kubelet", "kube-apiserver", "kuberay-operator", "kwok", "manifests"} <= set(lacking)


def test_a_program_counts_as_built_only_in_the_version_that_is_pinned(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = GoTool("kwok", {"kwok": "k8s.example/kwok/cmd/kwok"}, "k8s.example/kwok", "1.0.0")

    def compile_nothing(words: list[str], folder: Path, tool: GoTool) -> str:
        (folder / "made" / "kwok").write_text("a program")
        return ""

    monkeypatch.setattr(go_tools, "go", compile_nothing)
    assert not go_tools.is_built(layout, tool)
    go_tools.build_tool(layout, tool)
    assert go_tools.is_built(layout, tool)
    assert layout.program("kwok") == str(layout.programs / "kwok")
    assert not go_tools.is_built(layout, GoTool(tool.name, tool.packages, tool.module, "1.0.1"))


def test_sources_that_do_not_come_are_asked_for_again(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answers = [RigError("no route"), RigError("no route"), None]

    def flaky(words: list[str], folder: Path, tool: GoTool) -> str:
        if error := answers.pop(0):
            raise error
        return ""

    monkeypatch.setattr(go_tools, "go", flaky)
    go_tools.fetch(TOOLS[0], tmp_path)
    assert answers == []
    answers += [RigError("no route")] * go_tools.FETCHES
    with pytest.raises(RigError, match="no route"):
        go_tools.fetch(TOOLS[0], tmp_path)
    assert answers == []


def test_libraries_inside_a_modules_repository_are_taken_in_their_own_version(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kubernetes = next(tool for tool in TOOLS if tool.staging)
    (tmp_path / "go.mod").write_text("replace (\n\tk8s.io/api => ./staging/src/k8s.io/api\n\tother => ../other\n)\n")
    monkeypatch.setattr(go_tools, "module_folder", lambda tool: tmp_path)
    monkeypatch.setattr(
        go_tools, "go", lambda words, folder, tool: [(folder / "made" / n).touch() for n in tool.packages]
    )
    go_tools.build_tool(layout, kubernetes)
    written = (layout.sources / "kubernetes" / "go.mod").read_text()
    assert f"require k8s.io/kubernetes v{kubernetes.version}" in written
    assert f"replace k8s.io/api => k8s.io/api v{kubernetes.staging}" in written
    assert "other" not in written


def test_an_image_is_what_docker_saves(tmp_path: Path) -> None:
    images.ray_archive(tmp_path / "ray.tar", Layout(tmp_path / "cache" / "rig"))
    with tarfile.open(tmp_path / "ray.tar") as archive:
        texts = {name: file.read() for name in archive.getnames() if (file := archive.extractfile(name))}
    (manifest,) = json.loads(texts["manifest.json"])
    assert (manifest["RepoTags"], manifest["Layers"]) == ([images.RAY_IMAGE], ["layer.tar"])
    variables = dict(line.split("=", 1) for line in json.loads(texts[manifest["Config"]])["config"]["Env"])
    assert (variables["PYTHONPATH"], variables["FABRIC_CACHE"]) == (str(ROOT), str(tmp_path / "cache"))
    assert variables["PATH"].startswith(f"{images.environment()}/bin:")


def test_containers_see_each_folder_of_the_machine_once(tmp_path: Path) -> None:
    folders = images.host_folders(Layout(tmp_path / "rig"))
    assert any(tmp_path.is_relative_to(folder) for folder in folders)
    assert Path("/usr") in folders
    assert any(ROOT.is_relative_to(folder) for folder in folders)
    assert [a for a in folders for b in folders if a != b and a.is_relative_to(b)] == []


def test_every_user_has_an_access_file_that_nobody_else_reads(layout: Layout) -> None:
    make_secrets(layout, "10.0.0.1", "https://10.0.0.1:6443", NOW)
    tokens = (layout.secrets / "tokens.csv").read_text().splitlines()
    assert len(tokens) == len(USERS) == len({line.partition(",")[0] for line in tokens})
    for user in USERS:
        file = layout.kubeconfig if user == "admin" else layout.kubeconfig_of(user)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        config = json.loads(file.read_text())
        assert f'{config["users"][0]["user"]["token"]},{user},{user},"{",".join(USERS[user])}"' in tokens
    certificate = x509.load_pem_x509_certificate((layout.secrets / "apiserver.crt").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "10.0.0.1" in map(str, names.get_values_for_type(x509.IPAddress))


def test_only_nodes_with_gpus_are_tainted(layout: Layout) -> None:
    for node, taints in ((GPU_NODE, [{"key": GPU, "value": "present", "effect": "NoSchedule"}]), (PLAIN_NODE, None)):
        command = nodes.kubelet(layout, node).command
        config = json.loads((layout.state / node.name / "kubelet.json").read_text())
        assert config.get("registerWithTaints") == taints
        assert config["address"] == node.address
        assert f"--node-labels=fabric/tier={node.tier}" in command


def test_runtimes_share_one_network_and_nothing_else(layout: Layout) -> None:
    networks, configs = [], []
    for node in NODES:
        nodes.containerd(layout, node)
        networks.append((layout.state / node.name / "cni" / "10-rig.conflist").read_text())
        configs.append((layout.state / node.name / "containerd.toml").read_text())
    assert networks[0] == networks[1]
    paths = [
        {line for line in config.splitlines() if "/" in line and node.name in line}
        for config, node in zip(configs, NODES, strict=True)
    ]
    assert paths[0] & paths[1] == set()


def test_components_see_nothing_of_their_starters_environment(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example")
    monkeypatch.setenv("FABRIC_TEST_RUN", "run-1")
    variables = api_server(layout).variables
    assert set(variables) == {"PATH", "HOME", "FABRIC_TEST_RUN"}
    assert variables["FABRIC_TEST_RUN"] == "run-1"


def test_fake_nodes_behave_as_the_copied_stages_say(layout: Layout) -> None:
    for name in ("node/fast/a.yaml", "pod/fast/b.yaml", "pod/general/c.yaml"):
        file = layout.manifests / "kwok" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    assert [file.name for file in stage_files(layout)] == ["a.yaml", "b.yaml"]
