"""Where a client looks for its fabric and its key."""

from pathlib import Path

import pytest

from fabric.config import env
from fabric.core.errors import BadInput
from fabric.sdk.target import Target, target


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


def test_without_anything_the_default_port_of_this_machine_is_asked_without_a_key() -> None:
    assert target() == Target("http://127.0.0.1:8270")


def test_an_argument_wins_over_the_environment_and_that_over_what_the_local_fabric_wrote(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (state / "address").write_text("http://127.0.0.1:9000\n")
    assert target().address == "http://127.0.0.1:9000"
    monkeypatch.setenv(env.ADDRESS, "http://127.0.0.1:9001/")
    assert target().address == "http://127.0.0.1:9001"
    assert target("http://127.0.0.1:9002").address == "http://127.0.0.1:9002"


def test_the_local_administrators_key_is_used_on_this_machine_and_sent_nowhere_else(state: Path) -> None:
    (state / "admin.key").write_text("secret\n")
    assert target().token == "secret"
    assert target("https://fabric.example.org").token is None


def test_a_given_token_wins_over_the_environment_and_that_over_the_local_key(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (state / "admin.key").write_text("local")
    monkeypatch.setenv(env.TOKEN, "told")
    assert target().token == "told"
    assert target(token="given").token == "given"


def test_a_state_folder_may_be_named(tmp_path: Path) -> None:
    (tmp_path / "address").write_text("http://127.0.0.1:9003")
    (tmp_path / "admin.key").write_text("other")
    assert target(state=tmp_path) == Target("http://127.0.0.1:9003", "other")


def test_keys_are_not_in_what_is_printed() -> None:
    assert "secret" not in repr(target(token="secret"))


@pytest.mark.parametrize("address", ["127.0.0.1:8270", "ray://x:10001", "http://", "localhost"])
def test_what_is_no_http_address_is_refused_with_an_example(address: str) -> None:
    with pytest.raises(BadInput, match="Write it like http://127.0.0.1:8270"):
        target(address)
