"""Free TCP ports of this machine.

Knows nothing of what they are for.
"""

import secrets
import socket
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from fabric.backends.local.layout import HOST
from fabric.core.errors import Unavailable

_HOSTS = ("127.0.0.1", HOST)


FIRST_PORT, AFTER_LAST_PORT = 20_000, 32_768
"""Where ports of clusters are: above those of Ray's workers (10002 to 19999) and below those that Linux lends to
outgoing connections by default (32768 to 60999), so that nobody takes one between our look and Ray's."""
_LENT = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LEAST_RANGE = 1_000


def free_ports(
    names: Iterable[str], taken: Collection[int] = (), *, draw: Callable[[int], int] = secrets.randbelow
) -> dict[str, int]:
    """A different TCP port for each name, on which nobody listens at any address that a cluster uses.

    Args:
        names: What the ports are for.
        taken: Ports of clusters that live, whose Ray may not listen yet.
        draw: Chooses below a number where to begin, so that two fabrics of one machine begin at different places.

    Raises:
        Unavailable: If there are too few.
    """
    first, size = _own_range(_LENT)
    start, avoided = draw(size), set(taken)
    candidates = (first + (start + step) % size for step in range(size))
    free = (port for port in candidates if port not in avoided and all(_is_free(host, port) for host in _HOSTS))
    wanted = list(names)
    ports = dict(zip(wanted, free, strict=False))
    if len(ports) < len(wanted):
        raise Unavailable(
            f"{len(wanted)} TCP ports are needed, but only {len(ports)} from {first} to {first + size - 1} are free. "
            "End other programs, or some workloads.",
            needed=len(wanted),
        )
    return ports


def _own_range(lent: Path) -> tuple[int, int]:
    """First port and number of ports, below those that the kernel lends where that leaves enough."""
    try:
        below = int(lent.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        below = AFTER_LAST_PORT
    size = min(below, AFTER_LAST_PORT) - FIRST_PORT
    return FIRST_PORT, size if size >= _LEAST_RANGE else AFTER_LAST_PORT - FIRST_PORT


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
