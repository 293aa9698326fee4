"""What forbids an update: files that it would write over, and that git could not give back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from scaffold import git, repository
from scaffold.merge import Merged
from scaffold.repository import Repository


def in_the_way(around: Repository, merged: Merged) -> list[str]:
    """Name what lies where the merge would write, and is in no commit."""
    gone = set(merged.removed)
    found = {_in_the_way(around.project, path, merged, gone) for path in merged.written}
    return sorted(found - {""})


def hidden_edits(around: Repository, merged: Merged) -> list[str]:
    """
    Name edited files that git overlooks, because its index says not to look at them.

    Those that the merge changes are looked at, and all whose edits a reset would undo.
    """
    touched = {*merged.written, *merged.removed} & merged.before.keys()
    entries = [merged.before[path].line(around.prefix + path) for path in touched]
    # A small letter before an entry: git was told that the file is unchanged.
    listed = git.run("ls-files", "-v", "--stage", "-z", folder=around.top).split("\0")[:-1]
    entries += [f"{line[2:]}\0" for line in listed if line[0].islower()]
    return sorted(repository.shown(around, path) for path in repository.differing(around, entries))


def unwritable(around: Repository, merged: Merged) -> list[str]:
    """Name the folders that the merge would write to, and we may not."""
    folders = {_folder_of(around.project, path) for path in (*merged.written, *merged.removed)}
    return sorted(str(folder) for folder in folders if not os.access(folder, os.W_OK | os.X_OK))


def _folder_of(project: Path, path: str) -> Path:
    """Return the folder that a file lies in, or as much of it as there is."""
    return next(folder for folder in (project / path).parents if folder.is_dir())


def _in_the_way(project: Path, path: str, merged: Merged, gone: set[str]) -> str:
    """Name what lies in the way of a file that is to be written, or nothing."""
    for above in reversed(PurePosixPath(path).parents[:-1]):
        folder = project / above
        if os.path.lexists(folder) and (folder.is_symlink() or not folder.is_dir()):
            return "" if str(above) in gone else str(above)
        if os.path.lexists(folder / ".git"):  # Another repository, to which the file would belong.
            return f"{above}/.git"
    target = project / path
    if target.is_dir() and not target.is_symlink():
        left = (file.relative_to(project).as_posix() for file in _files(target))
        return next((file for file in left if file not in gone), "")
    return path if os.path.lexists(target) and path not in merged.before else ""


def _files(folder: Path) -> Iterator[Path]:
    """Yield all below a folder that is no folder, links to folders among them."""
    for at, folders, names in os.walk(folder):
        yield from (Path(at, name) for name in names)
        yield from (link for name in folders if (link := Path(at, name)).is_symlink())
