"""Put files into a project one by one, each only if nobody touched it; all can be taken back."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath

from scaffold.errors import ScaffoldError

# A file as it was when it was looked at: which one, mode, size, time; or there was none.
_Seen = tuple[int, int, int, int] | None


class Moving:
    """Files on their way into a project."""

    def __init__(self, project: Path, kept: Path, paths: Iterable[str]) -> None:
        """
        Look at what lies at the places of files, before anybody decides to replace it.

        Args:
            project: Where the files are to be.
            kept: Where what was there is kept meanwhile; a folder on the same disk is best.
            paths: Of the files that will be put or removed.
        """
        self._project = project
        self._kept = kept
        self._seen = {path: _look_from(project, path) for path in paths}
        self._done: list[str] = []

    def put(self, path: str, source: Path) -> None:
        """Move a file to its place."""
        target = self._project / path
        self._keep(path)
        _remove_empty_folders(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        if self._seen[path] is None:
            self._place(path, source)
            return
        self._done.append(path)
        _replace(source, target)
        self._refuse_if_kept_changed(path)

    def remove(self, path: str) -> None:
        """Remove a file, and the folders that are empty without it."""
        self._keep(path)
        self._done.append(path)
        (self._project / path).unlink(missing_ok=True)
        self._refuse_if_kept_changed(path)
        self._leave(path)

    def take_back(self) -> None:
        """Make everything as it was."""
        for path in reversed(self._done):
            target, kept = self._project / path, self._kept / path
            if os.path.lexists(kept):
                _remove_empty_folders(target)
                target.parent.mkdir(parents=True, exist_ok=True)
                _replace(kept, target)
            else:
                target.unlink(missing_ok=True)
                self._leave(path)

    def _keep(self, path: str) -> None:
        """Keep what lies there; if it is not what was seen, everything ends here."""
        target, kept = self._project / path, self._kept / path
        if self._seen[path] is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                _link(target, kept)
        if _look(target) != self._seen[path]:
            raise ScaffoldError(f"{path} was changed meanwhile")

    def _place(self, path: str, source: Path) -> None:
        try:
            _link(source, self._project / path)
        except FileExistsError:
            raise ScaffoldError(f"{path} was made meanwhile") from None
        self._done.append(path)
        source.unlink()

    def _refuse_if_kept_changed(self, path: str) -> None:
        """Refuse what somebody wrote into the file itself since; a copy of it would not tell."""
        seen, kept = self._seen[path], _look(self._kept / path)
        if seen and kept and kept[0] == seen[0] and kept != seen:
            raise ScaffoldError(f"{path} was changed meanwhile")

    def _leave(self, path: str) -> None:
        with suppress(OSError):  # It holds something.
            for folder in PurePosixPath(path).parents[:-1]:
                (self._project / folder).rmdir()


def _look_from(project: Path, path: str) -> _Seen:
    above = (project / folder for folder in PurePosixPath(path).parents[:-1])
    return None if any(map(Path.is_symlink, above)) else _look(project / path)


def _look(path: Path) -> _Seen:
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISDIR(found.st_mode):
        return None  # An empty one makes room; no other is removed.
    return found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns


def _link(source: Path, target: Path) -> None:
    """Let a file lie at a second place, where none is."""
    try:
        os.link(source, target, follow_symlinks=False)
    except (FileExistsError, FileNotFoundError):
        raise
    except OSError:  # Another disk, or one without links.
        if os.path.lexists(target):
            raise FileExistsError from None
        shutil.copy2(source, target, follow_symlinks=False)


def _replace(source: Path, target: Path) -> None:
    try:
        source.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        target.unlink(missing_ok=True)  # On another disk: written anew.
        shutil.move(source, target)


def _remove_empty_folders(target: Path) -> None:
    if target.is_dir() and not target.is_symlink():
        for at, _, _ in os.walk(target, topdown=False):
            Path(at).rmdir()
