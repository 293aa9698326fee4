"""
Put a finished folder in its place: whole or not at all.

A project is built in a hidden workshop beside its place and renamed into it.
Whoever builds holds a lock on the workshop; the system gives the lock back when
the process dies, however it dies, and the next `scaffold new` for the same
place clears away what was left.
"""

from __future__ import annotations

import fcntl
import glob
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from scaffold.errors import ScaffoldError


def find(path: str) -> Path:
    """
    Return the folder to make, after clearing away what a killed process left of it.

    Raises:
        ScaffoldError: It is a file, or holds anything beside a `.git`.
    """
    if not path:
        raise ScaffoldError("the path is empty; say which folder to make")
    target = Path(path).resolve()
    top = _topmost_missing(target)
    if not top.parent.is_dir() or (target.exists() and not target.is_dir()):
        wrong = target if target.exists() else top.parent
        raise ScaffoldError(f"{str(wrong)!r} is a file; choose another path")
    for workshop in top.parent.glob(f".{glob.escape(top.name)}.scaffold-*"):
        _clear_if_abandoned(workshop, top)
    if target.is_dir() and any(entry.name != ".git" for entry in target.iterdir()):
        raise ScaffoldError(f"{path!r} exists and is not empty; choose another path")
    return target


@contextmanager
def building(target: Path) -> Iterator[Path]:
    """
    Yield an empty folder to build in; when the block is done it becomes the target.

    The topmost folder that is missing appears in one rename, with all below it.
    A `.git` that the target holds is kept: it moves into the new folder just
    before the rename, and back if anything stops us between the two.
    """
    top = _topmost_missing(target)
    keeps_git = os.path.lexists(target / ".git")
    with _workshop(top) as workshop:
        built = workshop / ("kept" if keeps_git else "project")
        folder = built / target.relative_to(top)
        folder.mkdir(parents=True)
        yield folder
        if target.exists():
            shutil.copymode(target, built)
        if keeps_git:
            (target / ".git").rename(folder / ".git")
        _rename(built, top)


@contextmanager
def _workshop(top: Path) -> Iterator[Path]:
    """Yield a locked workshop beside a folder, and clear it away; signals wait for either."""
    ends = {signal.SIGINT, signal.SIGTERM}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    try:
        workshop = _make_workshop(top)
        lock = _open_lock(workshop)
        try:
            with suppress(OSError):  # Without locks, nothing that is left is ever cleared away.
                _lock(lock)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            yield workshop
        finally:
            signal.pthread_sigmask(signal.SIG_BLOCK, ends)
            _clear(workshop, top)
            os.close(lock)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _make_workshop(top: Path) -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix=f".{top.name}.scaffold-", dir=top.parent))
    except OSError as error:
        raise ScaffoldError(f"cannot write in {str(top.parent)!r}: {error.strerror}") from None


def _rename(built: Path, top: Path) -> None:
    try:
        built.rename(top)
    except OSError as error:
        raise ScaffoldError(f"cannot make {str(top)!r}: {error.strerror}") from None


def _topmost_missing(target: Path) -> Path:
    """Return the highest folder on the way to the target that is not there, or the target."""
    while not target.parent.exists():
        target = target.parent
    return target


def _clear_if_abandoned(workshop: Path, top: Path) -> None:
    with suppress(OSError):  # The lock is held: somebody builds there.
        lock = _open_lock(workshop)
        try:
            _lock(lock)
            _clear(workshop, top)
        finally:
            os.close(lock)


def _clear(workshop: Path, top: Path) -> None:
    """Remove a workshop; the user's `.git`, if it is in there, goes back first."""
    kept = workshop / "kept" / ".git"
    if os.path.lexists(kept) and not os.path.lexists(top / ".git"):
        top.mkdir(exist_ok=True)
        kept.rename(top / ".git")
    if not os.path.lexists(kept):
        shutil.rmtree(workshop, ignore_errors=True)


def _open_lock(workshop: Path) -> int:
    return os.open(workshop / "lock", os.O_RDWR | os.O_CREAT)


def _lock(descriptor: int) -> None:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
