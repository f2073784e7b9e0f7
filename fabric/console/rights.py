"""What somebody who is logged in may do, so that pages offer no more than that; control decides all the same.

Knows nothing of pages.
"""

from fabric.api.people import MeView
from fabric.console.frame import Visit
from fabric.core.errors import FabricError


async def who(visit: Visit) -> MeView | None:
    """Who looks; None where control does not say now."""
    try:
        return await visit.session.client.people.me()
    except FabricError:
        return None


def may(me: MeView | None, permission: str) -> bool:
    """Whether somebody may do what needs `permission`."""
    return me is not None and permission in me.permissions
