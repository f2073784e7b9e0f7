"""Which fabric to talk to, and as whom: arguments, else the environment, else the local state folder.

Knows nothing of requests.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from fabric.config import env
from fabric.core.errors import BadInput

ADDRESS_FILE = "address"
"""File in the state folder with control's URL, written while a local fabric is up."""

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
"""Names by which a machine means itself."""


@dataclass(frozen=True, slots=True)
class Target:
    """A fabric and a key for it."""

    address: str
    """URL of control, without a slash at the end."""
    token: str | None = field(default=None, repr=False)
    """Bearer token; None asks without a key."""
    ca: Path | None = None
    """File of certificates that are believed beside the system's."""

    @property
    def local(self) -> bool:
        """Whether it is on this machine."""
        return urlsplit(self.address).hostname in LOOPBACK


def target(address: str | None = None, token: str | None = None, state: Path | None = None) -> Target:
    """Find the fabric to talk to.

    Args:
        address: URL of control; else `FABRIC_ADDRESS`, else what the local fabric wrote down, else the default port.
        token: Bearer token; else `FABRIC_TOKEN`, else the local administrator's key, which only goes to this machine.
        state: Folder of the local fabric's records; else `FABRIC_STATE`, else `~/.fabric`.

    Raises:
        BadInput: If the address is no http or https URL.
    """
    folder = state or env.state_folder()
    written = None if env.get(env.ADDRESS) else _first_line(folder / ADDRESS_FILE)
    url = (address or written or env.address()).rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise BadInput(f"{url!r} is no address of a fabric. Write it like {env.DEFAULT_ADDRESS}.", address=url)
    found = Target(url, token or env.get(env.TOKEN), env.authority(folder))
    if found.token is None and found.local:
        return replace(found, token=env.admin_key(folder))
    return found


def _first_line(file: Path) -> str | None:
    """The first line of `file`, or None where there is none that we may read."""
    try:
        return file.read_text(encoding="utf-8").strip().partition("\n")[0] or None
    except (OSError, UnicodeDecodeError):
        return None
