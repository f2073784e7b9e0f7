"""A file is given a name that nothing has yet, in one step.

Knows nothing of what files hold.
"""

import ctypes
import errno
import os

_NO_SECOND_NAMES = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS})
"""What `link` says where a file system gives no file two names (link(2))."""
_NOT_THIS_WAY = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
"""What `renameat2` says where it cannot keep from overwriting (renameat2(2))."""
_KEEP_WHAT_IS_THERE = 1
"""`RENAME_NOREPLACE` of renameat2(2)."""

Place = tuple[int, str]
"""Descriptor of a folder, and a name in it."""


def name_new(source: Place, target: Place) -> None:
    """Give a file a name that nothing has; its former name may stay, or be gone.

    Raises:
        FileExistsError: If something has the name.
        OSError: If the file system refuses, or can do so only in steps that a kill may come between.
    """
    (from_folder, from_name), (to_folder, to_name) = source, target
    try:
        os.link(from_name, to_name, src_dir_fd=from_folder, dst_dir_fd=to_folder, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_SECOND_NAMES:
            raise
        rename_new(source, target)


def rename_new(source: Place, target: Place) -> None:
    """Rename a file to what nothing is called.

    Raises:
        FileExistsError: If something is called so.
        OSError: If the file system refuses, or cannot do that in one step.
    """
    (from_folder, from_name), (to_folder, to_name) = source, target
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    number = errno.ENOSYS
    if rename is not None:
        names = (from_folder, os.fsencode(from_name), to_folder, os.fsencode(to_name))
        if rename(*names, _KEEP_WHAT_IS_THERE) == 0:
            return
        number = ctypes.get_errno()
    if number in _NOT_THIS_WAY:
        raise OSError(number, "this file system can give a file no name without taking one away; say replace", to_name)
    raise OSError(number, os.strerror(number), to_name)
