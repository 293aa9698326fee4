"""
Bring a merge into the user's working tree: whole, or so that one command restores it.

The order makes it safe to be killed at any moment. First the index takes the
result, so that git knows every file that is about to be written; then the files;
last of all the branch. Until the last step `git reset --hard` takes everything
back, new files included, and a note in git's folder says that this is due.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import signal
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import TextIO

from scaffold import git, trees
from scaffold.errors import ScaffoldError
from scaffold.merge import Merged
from scaffold.obstacles import in_the_way
from scaffold.repository import Repository, changed_files
from scaffold.trees import Entry

_WORKSHOP, _NOTE = "scaffold", "begun"
_RESTORE = "nothing of yours is lost, and this restores the working tree: git reset --hard"


@contextmanager
def workshop(repository: Repository) -> Iterator[Path]:
    """
    Yield an empty folder in git's own, on the disk of the working tree; one process has it.

    Raises:
        ScaffoldError: Another update is at work, or one was killed while it wrote files.
    """
    folder = repository.folder / _WORKSHOP
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        _hold(lock, fcntl.LOCK_EX)
        _refuse_if_half_written(repository)
        _clear(folder)
        try:
            yield folder
        finally:
            if not (folder / _NOTE).exists():
                shutil.rmtree(folder, ignore_errors=True)


def refuse_if_unfinished(repository: Repository) -> None:
    """Refuse a project that an update is at work on, or that a killed one left half written."""
    folder = repository.folder / _WORKSHOP
    if (folder / _NOTE).exists():
        with (folder / "lock").open() as lock:
            _hold(lock, fcntl.LOCK_SH)
        _refuse_if_half_written(repository)


def land(
    repository: Repository,
    merged: Merged,
    folder: Path,
    message: str,
    untracked: Collection[str] = (),
    *,
    commit: bool,
) -> str:
    """
    Write a merge into the working tree; return the commit, or nothing if there is none.

    Without conflicts the branch gets one commit. With them the repository is left
    as `git cherry-pick` leaves it.

    Args:
        repository: Its working tree is that of the last commit.
        merged: What to write.
        folder: The workshop.
        message: Of the commit.
        untracked: Files of the project that the last commit does not have.
        commit: Make the commit, or leave the branch and the state of the repository alone.
    """
    made = ""
    if commit and not merged.conflicts:
        made = git.commit(merged.tree(), repository.head, message, folder=repository.project)
    _refuse_if_disturbed(repository, merged)
    note = json.dumps({"heads": [repository.head, made]})
    with _undisturbed():
        _write(folder / _NOTE, note, folder / "note")
        try:
            _land_files(repository, merged, folder, untracked)
            if made:
                _move_branch(repository, made, message)
            elif commit:
                _leave_cherry_pick(repository, merged, folder)
            if untracked:  # Only now: had the index known them before, a reset would remove them.
                _land_files(repository, merged, folder)
        except (OSError, ScaffoldError) as error:
            raise ScaffoldError(f"the update was not finished: {error}; {_RESTORE}") from None
        (folder / _NOTE).unlink()
    return made


def _refuse_if_disturbed(repository: Repository, merged: Merged) -> None:
    """Refuse to write over what was changed or committed while the merge was made."""
    head = git.run("rev-parse", "HEAD", folder=repository.top).strip()
    if head != repository.head or changed_files(repository) or in_the_way(merged):
        raise ScaffoldError("the project changed meanwhile; nothing was written: update again")


def _land_files(
    repository: Repository, merged: Merged, folder: Path, leave_out: Collection[str] = ()
) -> None:
    _take_index(repository, merged, folder / "new-index", leave_out)
    for path in merged.removed:
        _remove(repository.project, path)
    for path in merged.written:
        if path not in leave_out:
            _move(merged, path)
    _refresh(repository, folder / "refreshed")


def _move_branch(repository: Repository, commit: str, message: str) -> None:
    git.run("update-ref", "-m", message, "HEAD", commit, repository.head, folder=repository.top)


def _leave_cherry_pick(repository: Repository, merged: Merged, folder: Path) -> None:
    (merged.scratch.folder / "git" / "MERGE_MSG").replace(repository.folder / "MERGE_MSG")
    _write(repository.folder / "CHERRY_PICK_HEAD", f"{merged.picked}\n", folder / "pick")


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let signals that ask us to end wait, in git's processes and all threads of ours, too."""
    waiting: list[int] = []
    asked = {signal.SIGINT, signal.SIGTERM}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, asked)  # For what is started meanwhile.
    handlers = {}
    if threading.current_thread() is threading.main_thread():  # No other may set handlers.
        for number in asked:
            if signal.getsignal(number) != signal.SIG_IGN:
                handlers[number] = signal.signal(number, lambda got, _: waiting.append(got))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for got in waiting[:1]:
            os.kill(os.getpid(), got)


def _hold(lock: TextIO, how: int) -> None:
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ScaffoldError("another `scaffold update` is at work here; wait for it") from None


def _refuse_if_half_written(repository: Repository) -> None:
    try:
        begun = json.loads((repository.folder / _WORKSHOP / _NOTE).read_text())
    except FileNotFoundError:
        return
    done = (repository.folder / "CHERRY_PICK_HEAD").exists()  # It is written last.
    if not done and repository.head in begun["heads"] and changed_files(repository):
        raise ScaffoldError(f"an update was stopped while it wrote files; {_RESTORE}")


def _take_index(
    repository: Repository, merged: Merged, index: Path, leave_out: Collection[str]
) -> None:
    """Put the merge into the user's index: only the entries that it changes are others."""
    shutil.copy(repository.folder / "index", index)
    before: dict[str, tuple[Entry, ...]] = {p: (e,) for p, e in merged.before.items()}
    paths = [p for p in before.keys() | merged.after.keys() if before.get(p) != merged.after.get(p)]
    paths = [path for path in paths if path not in leave_out]
    lines = [trees.no_entry(merged.scratch, path) for path in paths]
    for path in paths:
        lines += [entry.line(repository.prefix + path) for entry in merged.after.get(path, ())]
    where = {"GIT_INDEX_FILE": str(index)}
    command = ("update-index", "-z", "--index-info")
    git.run(*command, folder=repository.top, environment=where, given="".join(lines))
    index.replace(repository.folder / "index")


def _refresh(repository: Repository, index: Path) -> None:
    """Let the index know the files as they lie, on a copy: a lock would stay if we are killed."""
    shutil.copy(repository.folder / "index", index)
    where = {"GIT_INDEX_FILE": str(index)}
    git.attempt("update-index", "-q", "--refresh", folder=repository.top, environment=where)
    index.replace(repository.folder / "index")


def _remove(project: Path, path: str) -> None:
    target = project / path
    if target.is_symlink() or not target.is_dir():  # A folder has taken its place already.
        target.unlink(missing_ok=True)
    with suppress(OSError):  # It holds something.
        for folder in PurePosixPath(path).parents[:-1]:
            (project / folder).rmdir()


def _move(merged: Merged, path: str) -> None:
    """Move a file out of the scratch tree to its place, if it is not there yet."""
    repository = merged.scratch.repository
    source, target = merged.scratch.tree / repository.prefix / path, repository.project / path
    if not os.path.lexists(source):
        return
    if target.is_dir() and not target.is_symlink():
        for at, _, _ in os.walk(target, topdown=False):  # Folders, all of them empty.
            Path(at).rmdir()
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        source.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        target.unlink(missing_ok=True)  # On another disk: written anew.
        shutil.move(source, target)


def _write(path: Path, text: str, temporary: Path) -> None:
    """Write a file whole."""
    temporary.write_text(text)
    temporary.replace(path)


def _clear(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.name == "lock":
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
