"""Small templates, projects of them in real repositories, and what became of both."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from scaffold import plans, releases, render, sources, updates
from scaffold.answers import Record
from scaffold.releases import File, Release
from scaffold.updates import Updated

NAME = {"project_name": {"type": "str", "help": "Its name", "default": "mine"}}
TEMPLATE = "small"
LINES = "".join(f"line {number}\n" for number in range(1, 21))


class Story:
    """A template `small` with releases of its own, and a project that was made from it."""

    def __init__(self, folder: Path, place: str = "project") -> None:
        """
        Args:
            folder: An empty folder.
            place: Where in it the project is to lie; its first part is the repository.
        """
        self.history = folder / "history"
        self.top = folder / Path(place).parts[0]
        self.project = folder / place
        self.history.mkdir(parents=True)
        self.project.mkdir(parents=True)

    def release(
        self,
        version: str,
        files: Mapping[str, str | bytes | File],
        questions: Mapping[str, Mapping[str, Any]] = NAME,
    ) -> None:
        """Write a release whose template has these files and no others."""
        everything = {
            "templates/copier.yml": as_file(
                yaml.safe_dump({"_subdirectory": "project", **questions})
            ),
            f"templates/{TEMPLATE}/template.yml": as_file("summary: small\nexpect: little\n"),
        }
        everything |= {
            f"templates/{TEMPLATE}/{path}": as_file(file) for path, file in files.items()
        }
        releases.write(Release(version, everything), self.history)

    def start(self, version: str = "0.1.0", *options: str, **answers: Any) -> None:
        """Make a project of a release, and a repository with a first commit of it."""
        self.git("init", "--quiet", "--initial-branch=main", *options, str(self.top), at=".")
        record = Record("small", version, {"project_name": "mine", **answers})
        release = sources.of(history=self.history).read(version)
        for path, file in plans.rendered(record, release).items():
            self.write(path, file)
        self.commit("Start")

    def write(self, path: str, content: str | bytes | File) -> None:
        """Write a file of the project."""
        file, target = as_file(content), self.project / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.content)
        if file.executable:
            target.chmod(0o755)

    def edit(self, path: str, old: str, new: str) -> None:
        """Change a text in a file of the project."""
        text = self.read(path)
        assert old in text
        self.write(path, text.replace(old, new))

    def read(self, path: str) -> str:
        """Read a file of the project."""
        return (self.project / path).read_bytes().decode()

    def commit(self, message: str = "Mine") -> str:
        """Commit everything that is not ignored; return the commit."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        return self.head

    def lock(self, *names: str) -> str:
        """Leave locks of git's, as one that was killed does; return how a message names them."""
        locks = [self.top / ".git" / f"{name}.lock" for name in names]
        for lock in locks:
            lock.touch()
        return ", ".join(map(str, locks))

    def update(self, **how: Any) -> Updated | None:
        """Update the project, by default to the newest release."""
        return updates.update(self.project, history=self.history, **how)

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD").strip()

    @property
    def changed(self) -> list[str]:
        """The lines of `git status`."""
        return self.git("status", "--porcelain", "--untracked-files=all").splitlines()

    def git(self, *arguments: str, at: str | None = None) -> str:
        """Run git as the user would."""
        folder = self.top if at is None else self.top / at
        command = ["git", "-c", "core.quotePath=false", *arguments]
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "GIT_EDITOR": "true"},
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode("utf-8", "surrogateescape")

    def everything(self) -> dict[str, tuple[int, bytes]]:
        """Return mode and content of whatever lies in the repository's folder, `.git` left out."""
        found = {}
        for at, folders, names in os.walk(self.top):
            if ".git" in folders:
                folders.remove(".git")
            for name in names + [name for name in folders if Path(at, name).is_symlink()]:
                path = Path(at, name)
                content = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
                mode = os.lstat(path).st_mode & 0o170100
                found[path.relative_to(self.top).as_posix()] = (mode, content)
        return found


def as_file(content: str | bytes | File) -> File:
    if isinstance(content, File):
        return content
    return File(content.encode() if isinstance(content, str) else content)


def copy(release: Release, template: str, answers: Mapping[str, Any], into: Path) -> None:
    """Render as `render.render` does a template in which nothing is to be rendered, but fast."""
    for path, file in render.project_files(release, template).items():
        (into / path).parent.mkdir(parents=True, exist_ok=True)
        (into / path).write_bytes(file.content)
        if file.executable:
            (into / path).chmod(0o755)
