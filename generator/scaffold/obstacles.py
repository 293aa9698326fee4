"""What forbids an update: files that it would write over, and that git could not give back."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from scaffold.merge import Merged


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
