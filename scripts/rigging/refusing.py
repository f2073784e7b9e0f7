"""Say why a machine cannot run the rig.

Knows nothing of what the rig does with it. Light, because every run of tests asks.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

CONTROLLERS = frozenset({"cpu", "cpuacct", "cpuset", "memory", "pids", "devices", "freezer"})
"""Control groups of version 1 that the container runtime of the rig needs."""
PROGRAMS = ("go", "apt-get", "dpkg-deb", "ip", "wget")
"""What the rig takes from the machine; the last is how KubeRay asks a Ray node whether it is well."""


def hierarchies(mounts: str = "") -> Mapping[Path, frozenset[str]]:
    """Where the machine's version 1 control groups are, and of what.

    Args:
        mounts: The kernel's list of mounts; read if empty.
    """
    lines = map(str.split, (mounts or Path("/proc/self/mounts").read_text()).splitlines())
    return {Path(words[1]): frozenset(words[3].split(",")) for words in lines if words[2] == "cgroup"}


def refusal() -> str:
    """Why this machine cannot run the rig; empty if it can."""
    if os.geteuid() != 0:
        return "the rig needs root, for containers and their network"
    if lacking := CONTROLLERS.difference(*hierarchies().values()):
        return f"the rig needs version 1 control groups; this machine has no {', '.join(sorted(lacking))}"
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    return f"the rig needs {', '.join(absent)} in the PATH" if absent else ""
