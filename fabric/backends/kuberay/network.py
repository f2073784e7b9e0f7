"""Which network NCCL and libfabric chose, read from what they print; anything but the wanted one is a reason to refuse.

Knows nothing of pods. NCCL goes on over TCP without a word where its plug-in or a device is missing, at a twentieth of
the speed (122.6 and 5.4 GB/s between two nodes, CSCS documentation), so silence counts as a refusal, too.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

NET, PROVIDER = "NCCL_NET", "FI_PROVIDER"
"""Variables of a profile that say what is wanted."""
NOT_STARTED = "NCCL did not start"
"""With these words a preflight tells that there is nothing to be read."""
_CHOSEN = re.compile(r"NCCL INFO (?:Using network|Assigned NET plugin) (?P<name>.+?)(?: to comm)?\s*$")
_PLUGIN = re.compile(r"NET/OFI Selected [Pp]rovider is (?P<name>[\w;]+)")
_KNOWN = re.compile(r"^\s*provider:\s*(?P<name>\S+)")
_TCP = ("tcp", "sockets", "udp")
"""Providers of libfabric that are no fabric."""


def fallbacks(said: Iterable[str], wanted: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with the network that a node uses.

    Args:
        said: Lines of NCCL with `NCCL_DEBUG=INFO`, and of `fi_info`.
        wanted: The profile's variables.
    """
    lines = list(said)
    yield from _nccl(lines, wanted.get(NET, ""))
    provider = wanted.get(PROVIDER, "")
    for program, found in (("libfabric chose", _found(_PLUGIN, lines)), ("fi_info knows", _found(_KNOWN, lines))):
        if provider and found and provider not in _parts(found):
            yield f"{program} {', '.join(found)} instead of {provider}"
        elif not provider and found and _parts(found) <= set(_TCP):
            yield f"{program} {', '.join(found)}, which is no fabric"


def _nccl(lines: Iterable[str], wanted: str) -> Iterator[str]:
    chosen = _found(_CHOSEN, lines)
    if not chosen:
        yield next((line for line in lines if line.startswith(NOT_STARTED)), "NCCL did not say which network it uses")
    others = [name for name in chosen if wanted and name.lower() != wanted.lower()]
    if others:
        yield f"NCCL fell back to {', '.join(others)} instead of {wanted}"


def _found(pattern: re.Pattern[str], lines: Iterable[str]) -> list[str]:
    """Different names, in the order in which they came."""
    return list(dict.fromkeys(match["name"] for line in lines if (match := pattern.search(line))))


def _parts(names: Iterable[str]) -> set[str]:
    """Providers, also those that are layered over others, such as `tcp;ofi_rxm`."""
    return {part for name in names for part in name.split(";")}
