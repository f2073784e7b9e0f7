"""How the parts of control are opened."""

from pathlib import Path

from fabric.control.build import open_packages
from fabric.store.packages import TEMPORARY
from tests.builders import tiny_site


def test_uploads_that_ended_with_an_earlier_control_are_swept(tmp_path: Path) -> None:
    half = tmp_path / "packages" / f"{TEMPORARY}half"
    half.parent.mkdir()
    half.write_bytes(b"PK")
    open_packages(tiny_site(), tmp_path)
    assert not half.exists()
