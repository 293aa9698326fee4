"""
Merge what a template changed into a project: by git itself, beside the project.

The project as its release made it and as another one makes it become two commits
that no branch holds: each is the repository's last commit with the project's folder
replaced. Picking the second onto what the project is now is the merge. It happens
in a scratch tree, so all is known before any file of the project is touched.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scaffold import conflicts, git, trees
from scaffold.releases import File
from scaffold.scratch import Scratch
from scaffold.trees import Change, Entry, Files


@dataclass(frozen=True)
class Merged:
    """What a merge gave; the files that it wrote lie in its scratch tree."""

    tree_before: str  # The repository with the project as it was.
    picked: str  # The commit whose change was merged.
    before: Mapping[str, Entry]  # The project's files, as they were.
    after: Mapping[str, tuple[Entry, ...]]  # As they are to be: several entries are a conflict.
    written: tuple[str, ...]  # The files that get another content, mode or place.
    removed: tuple[str, ...]  # The files that go.
    conflicts: Mapping[str, str]  # The files that git could not decide on, and why.
    yours: tuple[Change, ...]  # From the old render to the project.
    theirs: tuple[Change, ...]  # From the old render to the new one.
    left_out: tuple[Change, ...]  # Changes of the template to files that the project removed.


def merge(scratch: Scratch, old: Files, new: Files, message: str) -> Merged:
    """
    Merge the change between two renders into the project in the scratch tree's index.

    What the project removed stays removed: git is not asked about it.

    Args:
        scratch: Its index holds the repository with the project as it is.
        old: The project as its release makes it.
        new: The project as another release, or other answers, make it.
        message: What the change is called, also in the marks of conflicts.
    """
    before = {path: entries[0] for path, entries in trees.of_project(scratch).items()}
    attributes = trees.attributes(scratch)
    olds = trees.store(scratch, old, "old", attributes)
    news = trees.store(scratch, new, "new", attributes)
    old_tree, new_tree = trees.write(scratch, before, olds), trees.write(scratch, before, news)
    tree_before = scratch.run("write-tree").strip()
    yours = trees.changes(scratch, old_tree, tree_before)
    theirs = trees.changes(scratch, old_tree, new_tree)
    gone = {change.path for change in yours if change.kind == "removed"}
    left_out = tuple(c for c in theirs if c.path in gone and c.kind != "removed")
    if gone:
        old_tree = trees.write(scratch, before, trees.without(olds, gone))
        gone |= {change.to for change in left_out}
        new_tree = trees.write(scratch, before, trees.without(news, gone))

    parent = scratch.commit(old_tree, scratch.repository.head, "The project as it was made")
    picked = scratch.commit(new_tree, parent, message)
    _pick(scratch, picked, attributes)
    after, written, removed = _result(scratch, before)
    unmerged = {path: entries for path, entries in after.items() if entries[0].stage != "0"}
    told = conflicts.reasons(unmerged, (before, yours), (news, theirs))
    files = (before, after, written, removed)
    return Merged(tree_before, picked, *files, told, yours, theirs, left_out)


def tree(scratch: Scratch, merged: Merged) -> str:
    """Write the tree of a merge's result; files in conflict are in it with their marks."""
    if merged.conflicts:
        prefix, written = scratch.repository.prefix, set(merged.written)
        lines = [trees.no_entry(scratch, path) for path in merged.conflicts]
        as_they_were = (merged.conflicts.keys() - written) & merged.before.keys()
        lines += [merged.before[path].line(prefix + path) for path in as_they_were]
        scratch.run("update-index", "-z", "--index-info", given="".join(lines))
        marked = "".join(f"{prefix}{path}\0" for path in merged.conflicts.keys() & written)
        scratch.run("update-index", "-z", "--add", "--stdin", given=marked)
    return scratch.run("write-tree").strip()


def take_last_commit(scratch: Scratch) -> None:
    """Fill a scratch tree's index with the repository's last commit."""
    scratch.run("read-tree", scratch.repository.head)


def take_working_tree(scratch: Scratch) -> None:
    """Fill a scratch tree's index with the tracked files as they lie in the working tree."""
    repository = scratch.repository
    index = scratch.folder / "as-it-lies"
    shutil.copy(repository.folder / "index", index)
    where = {"GIT_INDEX_FILE": str(index), "GIT_OBJECT_DIRECTORY": str(scratch.folder / "objects")}

    def run(*arguments: str) -> str:
        whole = ("core.splitIndex=false",)
        return git.run(*arguments, folder=repository.top, settings=whole, environment=where)

    run("add", "--update")
    scratch.run("read-tree", run("write-tree").strip())


def add_file(scratch: Scratch, path: str, file: File) -> None:
    """Put a file that the repository does not track into a scratch tree's index."""
    stored = trees.store(scratch, {path: file}, "added")[path]
    line = stored.line(scratch.repository.prefix + path)
    scratch.run("update-index", "-z", "--index-info", given=line)


def _pick(scratch: Scratch, commit: str, attributes: list[str]) -> None:
    """Let git merge; where it fails, let it leave files where they are if their folder moved."""
    index = scratch.folder / "index"
    shutil.copy(index, scratch.folder / "index-before")
    # Named, for a user may have chosen another in `pull.twohead`.
    strategy = "ort" if git.version() >= (2, 34) else "recursive"
    for settings in ((), ("merge.directoryRenames=false",)):
        trees.check_out(scratch, attributes, scratch.tree)  # They may say how to merge.
        command = ("cherry-pick", "--no-commit", f"--strategy={strategy}", commit)
        done = scratch.attempt(*command, settings=settings)
        if done.returncode == 0 or (done.returncode == 1 and scratch.run("ls-files", "--unmerged")):
            return
        shutil.copy(scratch.folder / "index-before", index)
        index.with_suffix(".lock").unlink(missing_ok=True)  # Left by a git that crashed.
        shutil.rmtree(scratch.tree)
        scratch.tree.mkdir()
    raise git.failure(done, "cherry-pick", scratch.repository.project)


def _result(
    scratch: Scratch, before: Mapping[str, Entry]
) -> tuple[dict[str, tuple[Entry, ...]], tuple[str, ...], tuple[str, ...]]:
    """Return the project's files after the merge, and which are to be written and removed."""
    _name_as_written(scratch)
    after = trees.of_project(scratch)
    same = {path for path, entry in before.items() if after.get(path) == (entry,)}
    files = _files(scratch.tree / scratch.repository.prefix)
    written = tuple(path for path in files if path not in same)
    there = {path for path, e in after.items() if {"0", "2"} & {entry.stage for entry in e}}
    removed = tuple(sorted(before.keys() - there - set(written)))
    return after, written, removed


def _name_as_written(scratch: Scratch) -> None:
    """Let the index have the names under which files in conflict lie, as git does since 2.34."""
    index, prefix = trees.of_project(scratch), scratch.repository.prefix
    lines = []
    for path in _files(scratch.tree / prefix):
        # It is called `NAME~SIDE` where a folder has its place.
        places = [place for place in index if path.startswith(f"{place}~")]
        if path not in index and places:
            place = max(places, key=len)
            lines.append(trees.no_entry(scratch, place))
            lines += [entry.line(prefix + path) for entry in index[place]]
    if lines:
        scratch.run("update-index", "-z", "--index-info", given="".join(lines))


def _files(folder: Path) -> tuple[str, ...]:
    """Name all files below a folder, links among them."""
    found = []
    for at, folders, names in os.walk(folder):
        links = [name for name in folders if Path(at, name).is_symlink()]
        found += [Path(at, name).relative_to(folder).as_posix() for name in names + links]
    return tuple(sorted(found))
