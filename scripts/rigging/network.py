"""The network of the rig: one bridge that pods hang on, with the nodes' addresses.

Knows nothing of pods. Only what is named after the rig is touched.
"""

import ipaddress
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from scripts.rigging.errors import RigError
from scripts.rigging.layout import BRIDGE, NETWORK


def make_bridge(addresses: Sequence[str]) -> None:
    """Make the bridge, unless it is there, and give it the nodes' addresses.

    Raises:
        RigError: If another interface of this machine has an address in the rig's network, or `ip` fails.
    """
    ours = ipaddress.ip_network(NETWORK)
    listed = json.loads(_ip("-json", "-4", "address"))
    taken = [
        f"{link['ifname']} ({known['local']})"
        for link in listed
        for known in link["addr_info"]
        if link["ifname"] != BRIDGE and ipaddress.ip_address(known["local"]) in ours
    ]
    if taken:
        raise RigError(f"the rig's network {NETWORK} is in use by {', '.join(taken)}; take that interface down first")
    if not _exists():
        _ip("link", "add", BRIDGE, "type", "bridge")
    for address in addresses:
        _ip("address", "replace", f"{address}/{ours.prefixlen}", "dev", BRIDGE)
    _ip("link", "set", BRIDGE, "up")


def remove_bridge() -> None:
    """Take the bridge away.

    Raises:
        RigError: If `ip` fails.
    """
    if _exists():
        _ip("link", "delete", BRIDGE)


def _exists() -> bool:
    return Path("/sys/class/net", BRIDGE).exists()


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], check=False, capture_output=True, text=True)
    if done.returncode:
        raise RigError(f"ip {' '.join(words)} failed: {done.stderr.strip()}")
    return done.stdout
