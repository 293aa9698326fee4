"""One process at a time."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from scaffold_runtime.errors import UserError


def lock(folder: Path) -> int:
    """
    Make this process the only one that writes into a folder, until it ends.

    The lock belongs to the process: however it ends, the lock goes with it, and
    loading processes that outlive it do not hold it.

    Returns:
        The descriptor of the lock's file; closing it gives the lock up.

    Raises:
        UserError: Another process has it; the message names that.
        OSError: The folder cannot be written.
    """
    import fcntl

    file = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        owner = os.read(file, 32).decode(errors="replace").strip()
        os.close(file)
        raise UserError(
            f"{folder} is being written by another process ({owner or 'unknown'}); "
            "wait for its end, or choose another name with --run"
        ) from None
    except OSError:  # A file system without locks: nothing can be promised there.
        return file
    with contextlib.suppress(OSError):  # On a full disk the owner stays unknown.
        os.truncate(file, 0)
        os.pwrite(file, str(os.getpid()).encode(), 0)
    return file
