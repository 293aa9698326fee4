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
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import TextIO

from scaffold import git, trees
from scaffold.errors import ScaffoldError
from scaffold.merge import Merged
from scaffold.repository import Repository, changed_files
from scaffold.trees import Entry

_WORKSHOP, _NOTE = "scaffold", "begun"


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


def in_the_way(merged: Merged) -> list[str]:
    """Name what lies where the merge would write, and is in no commit."""
    gone = set(merged.removed)
    project = merged.scratch.repository.project
    found = {_in_the_way(project, path, merged, gone) for path in merged.written}
    return sorted(found - {""})


def hidden_edits(merged: Merged) -> list[str]:
    """
    Name edited files among those that the merge changes, looking at their contents.

    Git overlooks edits of files that its index says are not to be looked at.
    """
    touched = {*merged.written, *merged.removed} & merged.before.keys()
    scratch, repository = merged.scratch, merged.scratch.repository

    def run(*arguments: str, given: str = "") -> str:
        place = repository.top
        return scratch.attempt(*arguments, index="looked-at", tree=place, given=given).stdout

    lines = (merged.before[path].line(repository.prefix + path) for path in touched)
    run("update-index", "-z", "--index-info", given="".join(lines))
    run("update-index", "-q", "--refresh")
    differing = run("diff-files", "--name-only", "-z").split("\0")[:-1]
    there = [path for path in differing if os.path.lexists(repository.top / path)]
    return [path[len(repository.prefix) :] for path in there]


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
    note = json.dumps({"heads": [repository.head, made]})
    _write(folder / _NOTE, note, folder / "note")
    _take_index(repository, merged, folder, untracked)
    for path in merged.removed:
        _remove(repository.project, path)
    _move(merged, set(merged.written) - set(untracked))
    _refresh(repository, folder / "refreshed")
    if made:
        git.run("update-ref", "-m", message, "HEAD", made, repository.head, folder=repository.top)
    elif commit:
        (merged.scratch.folder / "git" / "MERGE_MSG").replace(repository.folder / "MERGE_MSG")
        _write(repository.folder / "CHERRY_PICK_HEAD", f"{merged.picked}\n", folder / "pick")
    if untracked:  # Only now: had the index known them before, a reset would remove them.
        _take_index(repository, merged, folder)
        _move(merged, set(untracked) & set(merged.written))
        _refresh(repository, folder / "refreshed")
    (folder / _NOTE).unlink()
    return made


def _hold(lock: TextIO, how: int) -> None:
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except OSError:
        raise ScaffoldError("another `scaffold update` is at work here; wait for it") from None


def _refuse_if_half_written(repository: Repository) -> None:
    try:
        begun = json.loads((repository.folder / _WORKSHOP / _NOTE).read_text())
    except FileNotFoundError:
        return
    done = (repository.folder / "CHERRY_PICK_HEAD").exists()  # It is written last.
    if not done and repository.head in begun["heads"] and changed_files(repository):
        raise ScaffoldError(
            "an update was stopped while it wrote files, nothing of yours is lost; "
            "this restores the working tree: git reset --hard"
        )


def _in_the_way(project: Path, path: str, merged: Merged, gone: set[str]) -> str:
    """Name what lies in the way of a file that is to be written, or nothing."""
    for above in reversed(PurePosixPath(path).parents[:-1]):
        folder = project / above
        if os.path.lexists(folder) and (folder.is_symlink() or not folder.is_dir()):
            return "" if str(above) in gone else str(above)
    target = project / path
    if target.is_dir() and not target.is_symlink():
        below = (Path(at, name) for at, _, names in os.walk(target) for name in names)
        left = (file.relative_to(project).as_posix() for file in below)
        return next((file for file in left if file not in gone), "")
    return path if os.path.lexists(target) and path not in merged.before else ""


def _take_index(
    repository: Repository, merged: Merged, folder: Path, leave_out: Collection[str] = ()
) -> None:
    """Put the merge into the user's index: only the entries that it changes are others."""
    index = folder / "new-index"
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
    (project / path).unlink(missing_ok=True)
    with suppress(OSError):  # It holds something.
        for folder in PurePosixPath(path).parents[:-1]:
            (project / folder).rmdir()


def _move(merged: Merged, paths: Iterable[str]) -> None:
    """Move files out of the scratch tree to their places."""
    repository = merged.scratch.repository
    for path in sorted(paths):
        source, target = merged.scratch.tree / repository.prefix / path, repository.project / path
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
            shutil.copy2(source, target, follow_symlinks=False)


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
