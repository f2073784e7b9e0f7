"""Read a site file together with the policy file that it may name.

Knows nothing of what a policy says: who reads a site gives the class.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from fabric.config.load import apply_sets, decode, read_yaml
from fabric.config.settings import Settings
from fabric.config.site import Site
from fabric.core.errors import BadConfig

S = TypeVar("S", bound=Settings)

RELOADED = ("policy", "projects", "windows", "warm", "defaults", "usage_half_life_s", "overhead_s", "retention")
"""Settings of a site that may change while it runs. Everything else is what clusters, listeners and stores were made
from, and waits for the next start."""


def load_site(path: Path, sets: Sequence[str] = (), *, policy: type[Settings]) -> Site:
    """Read a site; in the answer a policy file has been replaced by what is in it, so that it can be written elsewhere.

    Args:
        path: The site file.
        sets: Overrides such as `ports.control=9270`, or `policy.protect=all`.
        policy: The class that decodes the policy.

    Raises:
        BadConfig: If one of the files is missing, no YAML, or has an unknown key, wrong type or impossible value.
    """
    document = apply_sets(_with_policy(read_yaml(path), path), sets)
    site = decode(Site, _with_policy(document, path), str(path))
    policy_of(site, policy, str(path))
    return site


def policy_of(site: Site, policy: type[S], where: str = "") -> S:
    """The policy of a site; the class's defaults where it says nothing.

    Args:
        site: As `load_site` gives it.
        policy: The class that decodes it.
        where: What the site was read from, for messages.

    Raises:
        BadConfig: Naming every wrong place of it.
    """
    if isinstance(site.policy, str):
        raise BadConfig(f"{where or site.name}: policy: {site.policy} is a file; read the site with `load_site`")
    return decode(policy, site.policy or {}, f"{where or site.name}: policy")


def merged(present: Site, read: Site) -> tuple[Site, tuple[str, ...], tuple[str, ...]]:
    """The site in force after a reading, and which settings changed and which wait for a restart.

    Raises:
        BadConfig: If what may change does not fit what stays, such as a share of a tier that is not there yet.
    """
    differing = [name for name in Site.model_fields if getattr(present, name) != getattr(read, name)]
    changed = tuple(name for name in differing if name in RELOADED)
    waiting = tuple(name for name in differing if name not in RELOADED)
    document = present.model_dump(mode="json") | {name: read.model_dump(mode="json")[name] for name in changed}
    return decode(Site, document, "the site as far as it may change now"), changed, waiting


def _with_policy(document: dict[str, Any], path: Path) -> dict[str, Any]:
    """A site's document with what is in the policy file that it names.

    Raises:
        BadConfig: If there is no such file beside the site file or in the folder above.
    """
    named = document.get("policy")
    if not isinstance(named, str):
        return document
    places = [folder / named for folder in (path.parent, path.parent.parent)]
    for place in places:
        if place.is_file():
            return {**document, "policy": read_yaml(place)}
    looked = " or ".join(str(place) for place in places)
    raise BadConfig(
        f"{path}: policy: there is no file {looked}. Name one relative to the site file or the folder above"
    )
