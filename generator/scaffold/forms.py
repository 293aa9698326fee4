"""
Where the files of a folder of templates lie: `copier.yml`, `base/`, `NAME/template.yml`.

A folder may bring its own `runtime/scaffold_runtime/`. All of it may lie in a
folder `templates/`, with the runtime beside that one, as in our own repository.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from scaffold import archive, git
from scaffold.errors import ScaffoldError
from scaffold.releases import File

QUESTIONS, ABOUT = "copier.yml", "template.yml"
TEMPLATES, RUNTIME = "templates/", "runtime/scaffold_runtime/"  # In a release, too.
_FOLDERS = ("templates", "runtime", "runtime/scaffold_runtime")
_CACHES = {"__pycache__", ".git", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
_NO_TEMPLATES = {"base", "history", "runtime"}
_PLAIN = ("file", "program")


class Tree(Protocol):
    """Files that can be listed and read."""

    def kinds(self) -> Mapping[str, str]:
        """Say of each path what it is: a "file", a "program", or something else ("a link")."""

    def read(self, paths: Iterable[str]) -> dict[str, bytes]:
        """Read some of the files."""


def files(tree: Tree, name: str) -> dict[str, File]:
    """
    Read the templates and the runtime of a tree, by their paths in a release.

    Args:
        tree: Where to look.
        name: What a message calls it.

    Raises:
        ScaffoldError: It is no folder of templates, or holds what is no ordinary file.
    """
    kinds = tree.kinds()
    top = top_of(kinds)
    if top is None:
        form = "that is a folder with copier.yml, base/ and NAME/template.yml"
        raise ScaffoldError(f"there are no templates in {name}: {form}")
    places = _places(kinds, top)
    for path in sorted(places.keys() | ({f"{top}base", *_FOLDERS} & kinds.keys())):
        if kinds[path] not in _PLAIN:
            raise ScaffoldError(f"{path!r} in {name} is {kinds[path]}; templates are plain files")
    contents = tree.read(places)
    return {places[path]: File(contents[path], kinds[path] == "program") for path in places}


def top_of(paths: Iterable[str]) -> str | None:
    """Return the folder that the questions lie in, as what its paths begin with, if there is."""
    there = set(paths)
    return next((top for top in ("", TEMPLATES) if top + QUESTIONS in there), None)


def digest(files: Mapping[str, File]) -> str:
    """Return what names these files: another content, mode or place gives another name."""
    lines = [
        f"{archive.sha256_of(file.content)} {file.executable} {path}"
        for path, file in sorted(files.items())
    ]
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _places(paths: Iterable[str], top: str) -> dict[str, str]:
    """Return the paths that belong to the form, with the path that each has in a release."""
    inside = {path.removeprefix(top): path for path in paths if path.startswith(top)}
    split = [path.split("/") for path in inside]
    named = {parts[0] for parts in split if parts[1:] == [ABOUT]} - _NO_TEMPLATES
    places = {
        path: TEMPLATES + short
        for short, path in inside.items()
        if short == QUESTIONS or ("/" in short and short.split("/")[0] in {"base", *named})
    }
    for before in dict.fromkeys((top, "")):
        own = {path: path.removeprefix(before) for path in paths if path.startswith(before)}
        runtime = {path: short for path, short in own.items() if short.startswith(RUNTIME)}
        if runtime:
            return places | runtime
    return places


class Folder:
    """The files of a folder on this machine; what git ignores there is no part of it."""

    def __init__(self, path: Path) -> None:
        beside = path.parent / RUNTIME
        # Templates that lie in `templates/` may have their runtime beside that.
        self.path = path.parent if path.name == TEMPLATES[:-1] and beside.is_dir() else path

    def kinds(self) -> dict[str, str]:
        possible = (QUESTIONS, TEMPLATES + QUESTIONS)
        top = top_of(path for path in possible if os.path.lexists(self.path / path))
        if top is None:
            return {}  # Not looked through: it may be anything, and large.
        where = [self.path / top, self.path / RUNTIME]
        there = [folder for folder in where if folder.is_dir()]
        found = dict.fromkeys(path for folder in there for path in self._listed(folder))
        found |= dict.fromkeys(path for path in _FOLDERS if (self.path / path).is_symlink())
        return {p: _kind(self.path / p) for p in found if os.path.lexists(self.path / p)}

    def read(self, paths: Iterable[str]) -> dict[str, bytes]:
        return {path: (self.path / path).read_bytes() for path in paths}

    def _listed(self, folder: Path) -> Iterator[str]:
        """List the files below a folder: what git tracks or would track, or all but caches."""
        before = "" if folder == self.path else f"{folder.relative_to(self.path).as_posix()}/"
        if git.repository_around(folder) and git.is_there():
            listing = ("ls-files", "-z", "--cached", "--others", "--exclude-standard")
            done = git.attempt(*listing, folder=folder)
            if done.returncode == 0 and done.stdout:
                return (before + path for path in done.stdout.split("\0")[:-1])
        return (before + path for path in _walked(folder))


def _walked(folder: Path) -> Iterator[str]:
    for at, folders, names in os.walk(folder):
        links = [name for name in folders if Path(at, name).is_symlink()]
        folders[:] = sorted(set(folders) - _CACHES)
        for name in [*names, *links]:
            yield Path(at, name).relative_to(folder).as_posix()


def _kind(path: Path) -> str:
    if path.is_symlink():
        return "a link"
    if not path.is_file():
        return "no ordinary file"
    return "program" if path.stat().st_mode & 0o111 else "file"
