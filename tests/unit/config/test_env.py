"""The environment has one reader, which knows every variable by name."""

from pathlib import Path

import pytest

from fabric.config import env


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(env.WORKLOAD, "")
    assert env.get(env.WORKLOAD) is None
    monkeypatch.setenv(env.WORKLOAD, "train")
    assert env.get(env.WORKLOAD) == "train"


def test_a_variable_that_is_not_ours_cannot_be_asked_for() -> None:
    with pytest.raises(KeyError, match="HOME is no variable of the fabric"):
        env.get("HOME")


def test_places_come_from_the_environment_or_their_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in env.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert (env.address(), env.artifacts_uri("file:///x")) == (env.DEFAULT_ADDRESS, "file:///x")
    assert (env.state_folder(), env.cache_folder()) == (tmp_path / ".fabric", tmp_path / ".cache" / "fabric")
    monkeypatch.setenv(env.ADDRESS, "http://site:1/")
    monkeypatch.setenv(env.STATE, "/elsewhere")
    assert (env.address(), env.state_folder()) == ("http://site:1", Path("/elsewhere"))


def test_a_child_inherits_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(env.SLICE, "workers-0")
    copy = env.inherited()
    copy[env.SLICE] = "other"
    assert env.get(env.SLICE) == "workers-0"


def test_no_child_inherits_what_is_controls_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in env.OF_CONTROL:
        monkeypatch.setenv(name, "hidden")
    assert not env.OF_CONTROL & env.inherited().keys()
    assert {env.get(name) for name in env.OF_CONTROL} == {"hidden"}
