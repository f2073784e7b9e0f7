"""As whom the gateway asks control."""

from pathlib import Path

import pytest

from fabric.config import env
from fabric.gateway.__main__ import token_for


def test_the_key_of_its_own_control_goes_before_one_for_another_fabric(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(env.TOKEN, raising=False)
    assert token_for(tmp_path) is None
    monkeypatch.setenv(env.TOKEN, "told")
    assert token_for(tmp_path) == "told"
    (tmp_path / env.ADMIN_KEY_FILE).write_text("own\n")
    assert token_for(tmp_path) == "own"
