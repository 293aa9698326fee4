"""
The states that a team's own templates were in: what serves them as releases.

That is a folder `history/` as ours; or else the tags of a git repository (`1.2.0`
or `v1.2.0`), or without tags its last commit; or else a folder as it lies.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from scaffold import forms, git, releases, remote
from scaffold.commits import Commits
from scaffold.errors import ScaffoldError
from scaffold.forms import Folder
from scaffold.releases import Release
from scaffold.remote import Commit, Repository

CONTENT = "content-"  # What the version of a folder without versions begins with.
_LONGEST = 40  # Characters of a version that a message shows.
_DIGITS = 12  # Of a hash, where it is the version.
_HISTORY = "history"


class States(Protocol):
    """Releases without what ours lends them, by version."""

    @property
    def note(self) -> str:
        """What somebody should know who starts a project, or nothing."""

    def versions(self) -> list[str]:
        """List the versions, oldest first; there is one at least."""

    def read(self, version: str) -> Release:
        """Read one state; one that does not exist is refused."""

    def base(self, version: str, commit: str) -> Release:
        """Read the state that a record names."""


def of(name: str, start: Path) -> States:
    """
    Find what serves a folder or repository as history.

    Args:
        name: The path or address.
        start: Where a path that is relative begins.
    """
    if remote.is_address(name):
        remote.check_address(name)
        return _of_repository(Repository(name), name)
    if not name.isprintable() or name.startswith("-"):
        raise ScaffoldError(f"{name!r} is neither the path of a folder nor an address")
    path = (start / name).resolve()
    if not path.is_dir():
        seen = "" if str(path) == name else f" ({path})"
        raise ScaffoldError(
            f"there is no folder {name!r}{seen}; say where the templates are: "
            "--from PATH_OR_GIT_URL"
        )
    for folder in (path / _HISTORY, path / forms.TEMPLATES / _HISTORY):
        if releases.versions(folder):
            return Zips(folder, name)
    return _of_commits(path, name) or Plain(Folder(path), name)


@dataclass(frozen=True)
class Zips:
    """A folder of releases like ours."""

    folder: Path
    name: str
    note: str = ""

    def versions(self) -> list[str]:
        return releases.versions(self.folder)

    def read(self, version: str) -> Release:
        known = self.versions()
        if version not in known:
            raise releases.unknown(version, known, self.name)
        return Release(version, releases.read(version, self.folder).files, self.name)

    def base(self, version: str, commit: str) -> Release:
        return self.read(version)


@dataclass(frozen=True)
class Plain:
    """A folder as it lies: one state, whose version is its content."""

    folder: Folder
    name: str
    note: str = (
        "These templates have no versions. Before they change, make their folder a git repository "
        "and tag it, as in `git tag 1.0.0`: an update needs to know what they were."
    )

    def versions(self) -> list[str]:
        return [content_version(self._now)]

    def read(self, version: str) -> Release:
        if version not in self.versions():
            raise ScaffoldError(
                f"the templates in {self.name!r} have changed, from {version[:_LONGEST]} to "
                f"{self.versions()[0]}, and what they were is nowhere: put them back, make the "
                "folder a git repository, tag that, change and tag them again"
            )
        return self._now

    def base(self, version: str, commit: str) -> Release:
        return self.read(version)

    @cached_property
    def _now(self) -> Release:
        found = Release("", forms.files(self.folder, repr(self.name)), self.name)
        return Release(content_version(found), found.files, self.name)


def content_version(release: Release) -> str:
    """Return the version that a release's files have as the content of a folder."""
    return CONTENT + forms.digest(release.files)[:_DIGITS]


def _of_repository(repository: Repository, name: str) -> States:
    repository.fetch("HEAD")
    head = Commit(repository, repository.head)
    zips = _zips(head.kinds())
    if not zips:
        return Commits(repository, "", name)
    folder = repository.folder / _HISTORY
    folder.mkdir()
    for path, content in head.read(zips).items():
        (folder / zips[path]).write_bytes(content)
    return Zips(folder, name)


def _of_commits(path: Path, name: str) -> States | None:
    """Look for the templates in the commits of a repository around them."""
    bare = (path / "HEAD").is_file() and (path / "objects").is_dir()
    top = path if bare else git.repository_around(path)
    if top is None:
        return None
    repository = Repository(str(top))
    if not repository.refs:
        return None
    if bare:
        return _of_repository(repository, name)
    repository.fetch("HEAD")
    place = os.path.relpath(Folder(path).path, top)
    prefix = "" if place == "." else f"{place}/"
    there = forms.top_of(Commit(repository, repository.head, prefix).kinds()) is not None
    return Commits(repository, prefix, name) if there else None


def _zips(kinds: Mapping[str, str]) -> dict[str, str]:
    """Return the names of the zips of a history, by path."""
    found = {}
    for path, kind in kinds.items():
        folder, _, file = path.rpartition("/")
        known = folder in (_HISTORY, forms.TEMPLATES + _HISTORY)
        if known and kind == "file" and releases.is_version(file.removesuffix(".zip")):
            found[path] = file
    return found
