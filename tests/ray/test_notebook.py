"""A notebook server in a slice of the fabric, as far as it goes where there is no Jupyter."""

from importlib.util import find_spec

import pytest

from tests.ray.live import Live


@pytest.mark.skipif(find_spec("jupyterlab") is not None or find_spec("notebook") is not None, reason="Jupyter is here")
def test_where_there_is_no_jupyter_the_command_says_what_to_install(live: Live) -> None:
    done = live.fabric("notebook", "--name", "bare", "--cpus", "1", check=False)
    assert done.returncode == 2
    assert "neither jupyterlab nor notebook is installed where this runs" in done.stderr
    assert "fabric notebook --pip jupyterlab" in done.stderr
    assert live.wait("bare", "failed")["priority"] == "interactive"
