"""
A working tree of our own, in which git works with a user's objects and settings.

It has its own index, files and HEAD, so that nothing done here shows in the
user's; with objects of its own, nothing at all is written to the repository.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from scaffold import git
from scaffold.repository import Repository

# What a user may have set that would make a merge another, or hide a part of it from us.
_SAME_FOR_ALL = (
    "merge.renames=true",
    "merge.directoryRenames=conflict",
    "merge.renameLimit=7000",
    "diff.renameLimit=7000",
    "rerere.enabled=false",
    "core.sparseCheckout=false",
    "core.splitIndex=false",
    "core.untrackedCache=false",
)


@dataclass(frozen=True)
class Scratch:
    """A folder with `tree`, the files, and `index`; `git` beside them is git's own."""

    folder: Path
    repository: Repository
    own_objects: bool

    @property
    def tree(self) -> Path:
        return self.folder / "tree"

    def run(
        self, *arguments: str, index: str = "index", tree: Path | None = None, given: str = ""
    ) -> str:
        """Run git here, or on another index or working tree; a failure is an error."""
        done = self.attempt(*arguments, index=index, tree=tree, given=given)
        if done.returncode:
            raise git.failure(done, arguments[0], self.repository.project)
        return done.stdout

    def attempt(
        self,
        *arguments: str,
        index: str = "index",
        tree: Path | None = None,
        given: str = "",
        settings: tuple[str, ...] = (),
    ) -> subprocess.CompletedProcess[str]:
        """Run git here, or on another index or working tree, or with other settings."""
        tree, settings = tree or self.tree, (*_SAME_FOR_ALL, *settings)
        environment = self._environment(index, tree)
        return git.attempt(
            *arguments, folder=tree, settings=settings, environment=environment, given=given
        )

    def commit(self, tree: str, parent: str, message: str) -> str:
        """Make a commit that no branch holds."""
        environment = self._environment("index", self.tree)
        return git.commit(tree, parent, message, folder=self.tree, environment=environment)

    def _environment(self, index: str, tree: Path) -> dict[str, str]:
        environment = {
            "GIT_DIR": str(self.folder / "git"),
            "GIT_WORK_TREE": str(tree),
            "GIT_INDEX_FILE": str(self.folder / index),
            "GIT_LITERAL_PATHSPECS": "1",
        }
        if self.own_objects:
            environment["GIT_OBJECT_DIRECTORY"] = str(self.folder / "objects")
        return environment


def make(folder: Path, repository: Repository, *, own_objects: bool) -> Scratch:
    """Make a scratch tree, without any file and with an empty index."""
    folder.mkdir()
    (folder / "tree").mkdir()
    (folder / "git").mkdir()
    # What makes a folder a further working tree of a repository, that does not know of it.
    (folder / "git" / "HEAD").write_text(f"{repository.head}\n")
    (folder / "git" / "commondir").write_bytes(os.fsencode(repository.common) + b"\n")
    if (repository.folder / "config.worktree").exists():
        shutil.copy(repository.folder / "config.worktree", folder / "git")
    if own_objects:
        (folder / "objects" / "info").mkdir(parents=True)
        alternates = folder / "objects" / "info" / "alternates"
        alternates.write_bytes(os.fsencode(repository.common / "objects") + b"\n")
    return Scratch(folder, repository, own_objects)
