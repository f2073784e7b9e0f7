"""Commands about files of projects."""

from pathlib import Path

import httpx

from fabric.api.artifacts import ArtifactList, ArtifactView
from fabric.api.people import MeView
from tests.unit.cli.conftest import Run
from tests.unit.sdk.fakes import FakeControl, answer, refusal

ALPHA = "/api/fabric/artifacts/alpha"
ONE = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
"""Digest of `test`."""


def known(control: FakeControl) -> None:
    control.on("GET /api/fabric/me", answer(MeView(name="ann's", user="ann", role="member", project="alpha")))


def test_files_and_folders_are_listed(control: FakeControl, run: Run) -> None:
    known(control)
    listed = ArtifactList(
        artifacts=(ArtifactView(path="runs", folder=True), ArtifactView(path="a.bin", num_bytes=3 * 2**30))
    )
    control.on(f"GET {ALPHA}", answer(listed))
    heads, folder, file = (line.split() for line in run("artifacts", "list").stdout.splitlines())
    assert (heads[0], folder[0], folder[-1], file[:2], file[-1]) == ("SIZE", "-", "runs/", ["3", "GiB"], "a.bin")
    assert ArtifactList.model_validate_json(run("artifacts", "list", "--json").stdout) == listed
    run("artifacts", "list", "runs/", "-r", "--project", "alpha")
    asked = control.asked[-1].url.params
    assert (asked["path"], asked["recursive"]) == ("runs", "true")


def test_what_control_cannot_read_is_said_beside_the_list_and_not_fetched(
    control: FakeControl, run: Run, tmp_path: Path
) -> None:
    known(control)
    closed = ArtifactView(path="runs/7", folder=True, problem="Permission denied")
    control.on(f"GET {ALPHA}", answer(ArtifactList(artifacts=(closed, ArtifactView(path="z", num_bytes=4)))))
    said = run("artifacts", "list", "-r")
    assert [line.split()[-1] for line in said.stdout.splitlines()] == ["PATH", "runs/7/", "z"]
    assert said.stderr == "runs/7 cannot be read: Permission denied\n"
    said = run("artifacts", "get", "", "there")
    assert (said.exit_code, "runs/7 cannot be read" in said.stderr, (tmp_path / "there").exists()) == (4, True, False)


def test_an_empty_folder_says_so_beside_the_answer(control: FakeControl, run: Run) -> None:
    control.on(f"GET {ALPHA}", answer(ArtifactList(artifacts=())))
    said = run("artifacts", "list", "--project", "alpha")
    assert (said.stdout, said.stderr) == ("", "nothing is here\n")


def test_a_file_is_fetched_and_not_over_another(control: FakeControl, run: Run, tmp_path: Path) -> None:
    known(control)
    control.on(f"GET {ALPHA}", answer(ArtifactList(artifacts=(ArtifactView(path="runs/a.txt", num_bytes=4),))))
    control.on(f"GET {ALPHA}/runs/a.txt", lambda request: httpx.Response(200, content=b"test"))
    assert run("artifacts", "get", "runs/a.txt").stdout == "a.txt\n"
    assert (tmp_path / "a.txt").read_text() == "test"
    said = run("artifacts", "get", "runs/a.txt")
    assert (said.exit_code, said.stderr) == (2, "error: a.txt is there already. Replace it, or choose another place.\n")
    assert run("artifacts", "get", "runs/a.txt", "--replace").exit_code == 0


def test_a_file_is_sent_under_its_own_name_or_another(control: FakeControl, run: Run, tmp_path: Path) -> None:
    known(control)
    (tmp_path / "a.txt").write_text("test")
    for path in ("a.txt", "runs/a.txt", "b"):
        control.on(f"PUT {ALPHA}/{path}", answer(ArtifactView(path=path, num_bytes=4, sha256=ONE)))
    assert run("artifacts", "put", "a.txt").stdout == "a.txt  4 B\n"
    assert run("artifacts", "put", "a.txt", "runs/").stdout == "runs/a.txt  4 B\n"
    assert run("artifacts", "put", "a.txt", "/b", "--replace").stdout == "b  4 B\n"
    assert control.asked[-1].url.params["replace"] == "true"
    assert control.asked[-1].headers["Content-Length"] == "4"
    sent = ArtifactList.model_validate_json(run("artifacts", "put", "a.txt", "b", "--json").stdout)
    assert [one.sha256 for one in sent.artifacts] == [ONE]


def test_what_is_not_there_or_not_allowed_has_its_exit_code(control: FakeControl, run: Run, tmp_path: Path) -> None:
    control.on(f"GET {ALPHA}", refusal(404, "not_found", "project alpha has no artifact x"))
    assert run("artifacts", "get", "x", "--project", "alpha").exit_code == 3
    control.on(f"GET {ALPHA}", refusal(403, "denied", "no"))
    assert run("artifacts", "list", "--project", "alpha").exit_code == 5
    assert run("artifacts", "put", "nothing", "--project", "alpha").exit_code == 2
