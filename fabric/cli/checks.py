"""What a machine needs to run a fabric, each need as one check with what to do about it.

Knows nothing of how checks are shown.
"""

from __future__ import annotations

import errno
import os
import platform
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fabric.cli.show import size
from fabric.core.errors import BadConfig
from fabric.core.quantity import Bytes

if TYPE_CHECKING:
    from fabric.config.site import Site

GIB = 2**30
"""Bytes in a GiB."""

LEAST_MEMORY = 4 * GIB
"""Bytes for one Ray cluster of a head and a worker (1.5 GB), a small model and the fabric itself."""

LEAST_DISK = 2 * GIB
"""Bytes for logs, packages and a few small checkpoints."""

GOOD_DISK = 10 * GIB
"""Bytes with the converted demo model (0.6 GB) and the checkpoints of the demo's stages."""

LEAST_SHM = GIB
"""Bytes of shared memory below which Ray keeps its objects on disk; containers often have 64 MiB."""

LEAST_FILES = 1024
"""Open files below which Ray refuses to work well."""

GOOD_FILES = 8192
"""Open files that a few Ray clusters need."""

LONGEST_TEMP = 40
"""Letters of the temporary folder: a Unix socket's path has 107, and Ray appends up to 64 (session and socket name)."""

NEEDED = ("ray", "fastapi", "uvicorn", "sqlalchemy", "mlflow")
"""Distributions that control, gateway and workloads need."""

_PROBE = bytes(range(256)) * 16

Status = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Check:
    """One need, what was found, and what to do."""

    name: str
    """What was looked at."""
    status: Status
    """`failed` keeps the fabric from working, `warning` may."""
    found: str
    """What is there."""
    advice: str = ""
    """What to do; empty if all is well."""


def _graded(name: str, found: str, advice: str, *, failed: bool, warning: bool = False) -> Check:
    status: Status = "failed" if failed else "warning" if warning else "ok"
    return Check(name, status, found, advice if status != "ok" else "")


def python(version: tuple[int, ...] = sys.version_info[:3]) -> Check:
    """Whether this is the Python that the locked packages are for."""
    found = ".".join(str(part) for part in version)
    return _graded("python", found, "use Python 3.11: `scripts/setup`", failed=version[:2] != (3, 11))


def memory(site: Site | None, available: int | None = None) -> Check:
    """Whether there is memory for a cluster, and for what the site promises."""
    free = available_memory() if available is None else available
    promised = sum(Bytes.of(tier.capacity.memory).count * tier.nodes for tier in site.tiers) if site else 0
    found = f"{size(free)} available" + (f", the site promises {size(promised)}" if promised else "")
    advice = "end other programs" if free < LEAST_MEMORY else "lower the memory of the site's tiers, or watch it"
    return _graded("memory", found, advice, failed=free < LEAST_MEMORY, warning=promised > free)


def available_memory() -> int:
    """Bytes that new programs can have, as far as the machine and our control group allow."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    allowed = _allowed_memory(Path("/sys/fs/cgroup"))
    return free if allowed is None else min(free, allowed)


def _allowed_memory(group: Path) -> int | None:
    """Bytes that a control group leaves us, file cache counted as free; None without a limit."""
    try:
        limit, used = ((group / name).read_text(encoding="ascii").strip() for name in ("memory.max", "memory.current"))
        lines = (group / "memory.stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    cache = next((int(line.split()[1]) for line in lines if line.startswith("inactive_file ")), 0)
    return None if limit == "max" else int(limit) - int(used) + cache


def disk(folder: Path, free: int | None = None) -> Check:
    """Whether there is space where records, logs and checkpoints go."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    space = shutil.disk_usage(there).free if free is None else free
    return _graded(
        "disk",
        f"{size(space)} free at {there}",
        "free some space, or put the records elsewhere with --state",
        failed=space < LEAST_DISK,
        warning=space < GOOD_DISK,
    )


def artifacts(state: Path) -> Check:
    """Whether what work leaves can be written and read again where it goes, from each tier: all are on this machine."""
    folder = state.absolute() / "artifacts"
    there = next(place for place in (folder, *folder.parents) if place.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=there, prefix=".doctor-") as file:
            file.write(_PROBE)
            file.flush()
            os.fsync(file.fileno())
            same = Path(file.name).read_bytes() == _PROBE
        found = f"{there} gives back " + ("what is written" if same else "other bytes than were written")
    except OSError as error:
        same, found = False, f"{there}: {error.strerror}"
    return _graded(
        "artifacts", found, "give the folder to this user, or put the records elsewhere with --state", failed=not same
    )


def shared_memory(folder: Path = Path("/dev/shm"), total: int | None = None) -> Check:  # noqa: S108 - Ray's own choice
    """Whether Ray can keep objects in shared memory."""
    if total is None and not folder.exists():
        return Check("shared memory", "ok", "none on this system; Ray uses files")
    space = shutil.disk_usage(folder).total if total is None else total
    advice = "in a container: run it with --shm-size=4g; otherwise Ray works slower, with files"
    return _graded("shared memory", f"{size(space)} in {folder}", advice, failed=False, warning=space < LEAST_SHM)


def port(name: str, number: int, host: str, *, free: bool, ours: bool) -> Check:
    """Whether a port is free, or held by a fabric that is up."""
    found = f"{host}:{number} " + ("is free" if free else "is this fabric's" if ours else "is in use")
    advice = f"end the program that holds it, or choose another with --set ports.{name}=PORT"
    return _graded(f"port {name}", found, advice, failed=not (free or ours))


def port_is_free(host: str, number: int) -> bool:
    """Whether a server could listen there.

    Raises:
        OSError: If the host is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, number))
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise
    return True


def gpus(site: Site | None, listing: Callable[[], Sequence[str]] | None = None) -> Check:
    """Which accelerators there are, and whether the site only pretends."""
    found = list((listing or _nvidia_gpus)())
    real = [tier.name for tier in site.tiers if tier.capacity.gpus and not tier.pretend] if site else []
    shown = ", ".join(found) if found else "none" + ("" if real else "; a laptop site only counts them (pretend)")
    advice = f"tier {', '.join(real)} needs real GPUs: set `pretend: true` there, or use a machine with nvidia-smi"
    return _graded("gpu", shown, advice, failed=bool(real) and not found)


def _nvidia_gpus() -> list[str]:
    """Lines of `nvidia-smi -L`; empty where there is none."""
    try:
        told = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.partition(" (UUID")[0] for line in told.stdout.splitlines() if line.strip()]


def owner(owners: Sequence[str] | None = None) -> Check:
    """Whether the import name `fabric` is ours alone; a package for SSH commands has the same."""
    names = sorted(set(metadata.packages_distributions().get("fabric", []) if owners is None else owners))
    advice = "another distribution overwrites ours: make a new environment with `scripts/setup`"
    found = ", ".join(names) or "nobody (run from a checkout)"
    return _graded("name fabric", found, advice, failed=bool(set(names) - {"compute-fabric"}))


def packages(version: Callable[[str], str] = metadata.version) -> Check:
    """Whether the packages of control, gateway and workloads are installed, and Ray in the version that we know."""
    found, missing = [], []
    for name in NEEDED:
        try:
            found.append(f"{name} {version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        advice = "install them: `scripts/setup`"
        return Check("packages", "failed", f"not installed: {', '.join(missing)}", advice)
    wanted = _wanted_ray()
    other_ray = bool(wanted) and f"ray {wanted}" not in found
    advice = f"the fabric is tested with Ray {wanted}: `scripts/setup`"
    return _graded("packages", ", ".join(found), advice, failed=False, warning=other_ray)


def _wanted_ray() -> str:
    """The version of Ray that our own metadata pins; empty in a checkout that is not installed."""
    try:
        lines = metadata.requires("compute-fabric") or []
    except metadata.PackageNotFoundError:
        return ""
    pins = (line.partition("==")[2].partition(";")[0].strip() for line in lines if line.startswith("ray["))
    return next(pins, "")


def ray_imports() -> Check:
    """Whether Ray loads, tried in a process of its own."""
    program = "import ray; print(ray.__version__)"
    try:
        told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    except subprocess.SubprocessError as error:
        words = str(getattr(error, "stderr", "") or error).strip().splitlines()
        return Check("ray", "failed", words[-1] if words else "does not load", "install it again: `scripts/setup`")
    return Check("ray", "ok", f"{told.stdout.strip()} loads")


def open_files(limit: int | None = None) -> Check:
    """Whether a few Ray clusters can open the files they need."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if limit is None else limit
    found = "no limit" if most == resource.RLIM_INFINITY else f"{most} at most"
    low = most != resource.RLIM_INFINITY
    return _graded(
        "open files",
        found,
        "raise it in this shell: `ulimit -n 65536`",
        failed=low and most < LEAST_FILES,
        warning=low and most < GOOD_FILES,
    )


def temporary_folder(folder: str | None = None) -> Check:
    """Whether Ray's sockets have paths that the system allows."""
    where = tempfile.gettempdir() if folder is None else folder
    advice = f"Unix sockets need a path of at most {LONGEST_TEMP} letters here: `export TMPDIR=/tmp`"
    return _graded("temporary folder", where, advice, failed=len(where) > LONGEST_TEMP)


def system(name: str | None = None) -> Check:
    """Whether it is a system that the local backend was tried on."""
    found = platform.system() if name is None else name
    advice = "only Linux is tested; children may outlive a `fabric up` that is killed"
    return _graded("system", found, advice, failed=False, warning=found != "Linux")


def encryption(site: Site | None) -> Check:
    """Whether keys are safe on their way here, and clients take the site's certificate."""
    if site is None or (site.tls is None and site.on_loopback):
        return Check("tls", "ok", "not needed: only this machine is listened to")
    if site.tls is None:
        advice = "keys cross the network unencrypted: give --tls-cert and --tls-key, or let a proxy end TLS before it"
        return Check("tls", "warning", f"{site.host} is listened on without", advice)
    from fabric.config.tls import check_tls

    try:
        check_tls(site.tls, site.address)
    except BadConfig as error:
        return Check("tls", "failed", error.message, f"clients call {site.address}; `tls.name` may say another name")
    return Check("tls", "ok", f"{site.tls.cert} is taken for {site.address}")


def quick(site: Site | None, state: Path) -> list[Check]:
    """Every check that takes no time and needs no port."""
    return [
        system(), python(), packages(), memory(site), disk(state), shared_memory(), gpus(site), open_files(),
        temporary_folder(), encryption(site),
    ]  # fmt: skip


def thorough(site: Site | None, state: Path) -> list[Check]:
    """The same, and those that write, or take a second: every distribution is looked through, and Ray is loaded."""
    return [*quick(site, state), artifacts(state), owner(), ray_imports()]
