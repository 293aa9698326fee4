"""
The folder in git's own that an update works in: one process has it at a time.

While files are written, a note in it says so. Whoever finds the note without
the process finds an update that was killed, and can say what restores the project.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from scaffold import git, repository
from scaffold.errors import ScaffoldError
from scaffold.repository import Repository

_FOLDER, _LOCK, _NOTE = "scaffold", "lock", "begun"
RESTORE = "nothing of yours is lost, and this restores the working tree: git reset --hard"


@dataclass(frozen=True)
class Note:
    """What an update began to write."""

    heads: tuple[str, ...] = ()  # The last commit before it, and the one that it makes.
    trees: tuple[str, ...] = ()  # The files before it, and after it.


@contextmanager
def opened(around: Repository) -> Iterator[Path]:
    """
    Yield an empty folder in git's own, on the disk of the working tree; one process has it.

    Raises:
        ScaffoldError: Another update is at work, or one was killed while it wrote files.
    """
    folder = around.folder / _FOLDER
    with _take_lock(folder):
        _refuse_if_half_written(around)
        _clear(folder)
        try:
            yield folder
        finally:
            if not (folder / _NOTE).exists():
                _clear(folder)
                (folder / _LOCK).unlink()  # Last: whoever comes next may have the folder at once.
                with suppress(OSError):
                    folder.rmdir()


def refuse_if_unfinished(around: Repository) -> None:
    """Refuse a project that an update is at work on, or that a killed one left half written."""
    folder = around.folder / _FOLDER
    if not (folder / _NOTE).exists():
        return
    with suppress(FileNotFoundError), (folder / _LOCK).open() as lock:
        _hold(lock, fcntl.LOCK_SH)
    _refuse_if_half_written(around)


def begin(folder: Path, note: Note) -> None:
    """Leave a note that files are being written."""
    with (folder / "note").open("w") as file:
        json.dump({"heads": note.heads, "trees": note.trees}, file)
        file.flush()
        os.fsync(file.fileno())
    (folder / "note").replace(folder / _NOTE)


def end(folder: Path) -> None:
    """Take the note away: all is written, or all is as it was."""
    (folder / _NOTE).unlink()


def _refuse_if_half_written(around: Repository) -> None:
    note = _note(around)
    done = (around.folder / "CHERRY_PICK_HEAD").exists()  # It is written last.
    if note is None or done or (note.heads and around.head not in note.heads):
        return
    changed = repository.changed(around)
    if not changed:
        return
    locks, then = repository.shown_locks(around), RESTORE
    left = f"; remove first what a killed git left: {locks}" if locks else ""
    if edited := _edited_since(around, changed, (around.head, *note.trees)):
        named = repository.listed([repository.shown(around, path) for path in edited])
        then = (
            f"these were edited since: {named}; copy them elsewhere, for they would be lost by "
            "what restores the working tree: git reset --hard"
        )
    raise ScaffoldError(f"an update was stopped while it wrote files{left}; {then}")


def _note(around: Repository) -> Note | None:
    try:
        content = json.loads((around.folder / _FOLDER / _NOTE).read_text())
        return Note(tuple(content["heads"]), tuple(content["trees"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):  # Cut short, with the power.
        return Note()


def _edited_since(around: Repository, changed: list[str], trees: tuple[str, ...]) -> list[str]:
    """Name the files that are neither as they were before the update nor as it writes them."""
    known: set[str] = set()
    for tree in trees:
        listing = git.run("ls-tree", "-r", "-z", "--full-tree", tree, folder=around.top)
        lines = {line.partition("\t")[2]: f"{line}\0" for line in listing.split("\0")[:-1]}
        here = [path for path in changed if path in lines]
        known |= set(here) - repository.differing(around, [lines[path] for path in here])
    return [path for path in changed if path not in known and _holds_work(around.top / path)]


def _holds_work(path: Path) -> bool:
    folder = path.is_dir() and not path.is_symlink() and not (path / ".git").exists()
    return os.path.lexists(path) and not folder


@contextmanager
def _take_lock(folder: Path) -> Iterator[None]:
    """Hold the lock that lies in the folder: whoever is done removes it, and the next is new."""
    with ExitStack() as stack:
        while True:
            folder.mkdir(exist_ok=True)
            with suppress(FileNotFoundError):
                lock = stack.enter_context((folder / _LOCK).open("w"))
                _hold(lock, fcntl.LOCK_EX)
                if os.path.samestat(os.fstat(lock.fileno()), (folder / _LOCK).stat()):
                    break
        yield


def _hold(lock: TextIO, how: int) -> None:
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ScaffoldError("another `scaffold update` is at work here; wait for it") from None
    except OSError:  # A disk without locks: each step looks at what is there all the same.
        pass


def _clear(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.name == _LOCK:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink()
