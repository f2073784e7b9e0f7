"""Fetch Debian packages and unpack them into the cache; nothing is installed.

Knows nothing of what is in them beyond one file each.
"""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.rigging.errors import RigError
from scripts.rigging.layout import Layout
from scripts.rigging.pins import DEBIAN_PACKAGES
from scripts.rigging.progress import say


def need(program: str, remedy: str) -> None:
    """Insist on a program.

    Raises:
        RigError: If it is not in the PATH.
    """
    if shutil.which(program) is None:
        raise RigError(f"the rig needs {program}, which is not in the PATH. {remedy}")


def absent_packages(layout: Layout) -> list[str]:
    """Packages that the cache lacks."""
    return [name for name, file in DEBIAN_PACKAGES.items() if not (layout.packages / file).exists()]


def unpack_packages(layout: Layout) -> None:
    """Fetch the Debian packages that are not there yet, and unpack them into the cache.

    Raises:
        RigError: If this is no Debian, or a package cannot be fetched.
    """
    wanted = absent_packages(layout)
    if not wanted:
        return
    for program in ("apt-get", "dpkg-deb"):
        need(program, "The rig takes etcd, containerd and runc from Debian packages: run it on Debian or Ubuntu")
    say(f"fetching {', '.join(wanted)}")
    folder = layout.cache / "fetched"
    folder.mkdir(parents=True, exist_ok=True)
    if not _fetch(wanted, folder):
        say("the list of packages is old, fetching it anew")
        subprocess.run(["apt-get", "update", "-qq"], check=False, stdout=sys.stderr)
        if not _fetch(wanted, folder):
            raise RigError(f"apt-get could not fetch {', '.join(wanted)}; run apt-get update and look at what it says")
    for name in wanted:
        (archive,) = sorted(folder.glob(f"{name}_*.deb"))[-1:]
        subprocess.run(["dpkg-deb", "-x", archive, layout.packages], check=True)
    shutil.rmtree(folder)


def _fetch(names: Sequence[str], folder: Path) -> bool:
    # As root apt would give way to a user who cannot write here.
    command = ["apt-get", "-o", "APT::Sandbox::User=root", "-qq", "download", *names]
    done = subprocess.run(command, cwd=folder, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return done.returncode == 0
