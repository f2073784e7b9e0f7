"""A fabric of a bench's own: new records in a new folder, ports that nobody uses, and nothing left of it afterwards.

Knows nothing of what is measured on it.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fabric.backends.local.ports import free_ports

ROOT = Path(__file__).resolve().parents[2]
FABRIC = (sys.executable, "-m", "fabric.cli")
"""The command line of this checkout, wherever its environment is."""
LAPTOP = ROOT / "configs" / "sites" / "laptop.yaml"
END_S = 60.0
"""How long `fabric up` may take to end, in seconds: it gives its programs 30."""


@dataclass(frozen=True, slots=True)
class OwnFabric:
    """Where it is."""

    address: str
    """URL of control."""
    state: Path
    """Folder of its records."""


@contextmanager
def own_fabric(
    site: Path = LAPTOP,
    sets: Sequence[str] = (),
    *,
    host: str = "127.0.0.1",
    within: Path | None = None,
    variables: Mapping[str, str] | None = None,
    leaves: bool = False,
) -> Iterator[OwnFabric]:
    """A fabric with nothing to do.

    Args:
        site: Site file.
        sets: What is unlike it, as `--set` takes it; the ports are always.
        host: Where the site listens.
        within: Folder in which its records get theirs; None is that for temporary files.
        variables: What it finds in its environment besides.
        leaves: Whether its work stays as it is when the fabric ends.

    Raises:
        SystemExit: If it does not come up.
    """
    state = Path(tempfile.mkdtemp(prefix="fab-", dir=within))
    control, gateway = free_ports(("control", "gateway")).values()
    changes = (f"ports.control={control}", f"ports.gateway={gateway}", "ports.console=null", *sets)
    words = [word for change in changes for word in ("--set", change)]
    up = [*FABRIC, "up", "--site", str(site), "--state", str(state), *words]
    seen = {**os.environ, **(variables or {})}
    process = subprocess.Popen(up, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=seen)
    try:
        for line in process.stdout or ():
            if "Ctrl-C" in line:
                break
        else:
            sys.exit("bench: `fabric up` ended")
        yield OwnFabric(f"http://{host}:{control}", state)
    finally:
        if not leaves:
            subprocess.run([*FABRIC, "down", "--now", "--state", str(state)], check=False, capture_output=True)
        process.send_signal(signal.SIGINT)
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            # Its programs end with it; what was measured is not thrown away because of a slow end.
            process.kill()
            process.wait()
        shutil.rmtree(state, ignore_errors=True)
