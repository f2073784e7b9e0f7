"""Whose something is where nobody says so: the project of the key.

Knows nothing of what it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fabric.sdk.later import Later

if TYPE_CHECKING:
    from fabric.api import people
    from fabric.sdk.transport import Transport
    from fabric.workloads import spec as specs
else:
    people, specs = Later("fabric.api.people"), Later("fabric.workloads.spec")


async def project_of(control: Transport, said: str | None, patience_s: float) -> str:
    """The project that is meant: `said`, or else the key's own, or `default` of a key for the whole site.

    Args:
        control: Whom to ask.
        said: What the caller says.
        patience_s: How long to ask while nobody answers, in seconds.
    """
    if said is not None:
        return said
    me = await control.read(people.MeView, "GET", people.ME, patience_s=patience_s)
    return me.project or specs.DEFAULT_PROJECT
