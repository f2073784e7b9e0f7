"""Tell what this process could not look at from what is not there.

Knows nothing of what was looked for.
"""

import errno

_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}


def exhausted(error: BaseException | None) -> bool:
    """Whether this process could open nothing, for want of file descriptors or memory, which says nothing of others.

    Args:
        error: What was raised; libraries dress what the kernel says, so all that led to it is looked at.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in _EXHAUSTED:
            return True
        error = error.__cause__ or error.__context__
    return False
