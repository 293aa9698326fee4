"""The newest states of a run on disk: always some complete ones, verified when read."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scaffold_runtime.checkpoints.archive import read_checkpoint, write_checkpoint
from scaffold_runtime.errors import CheckpointError, NothingSavedError

logger = logging.getLogger(__name__)


class Generations:
    """
    The files `last.pt`, `last-1.pt` and so on, of which a number is kept.

    Once so many are saved, so many are complete at every moment, wherever a save
    is cut off. A save shifts the names as far as the first that is free, and when
    its own file is safe, removes what is too old. Cut off in between, it leaves a
    name free or a file too many; the next one is glad of either.

    >>> import tempfile
    >>> generations = Generations(Path(tempfile.mkdtemp()), n_kept=2)
    >>> for iteration in (100, 200, 300):
    ...     generations.write({"iteration": iteration})
    >>> path, content = generations.read_newest()
    >>> path.name, content
    ('last.pt', {'iteration': 300})
    """

    def __init__(self, folder: Path, n_kept: int) -> None:
        """
        Raises:
            ValueError: `n_kept` is below 2: while one is written, another must stay.
        """
        if n_kept < 2:
            raise ValueError(f"n_saved must be at least 2, not {n_kept}")
        self._folder = folder
        self._n_kept = n_kept
        self.newest = self._path(age=0)

    def write(self, content: Mapping[str, Any]) -> None:
        """
        Write a new one.

        Raises:
            TypeError: It holds more than tensors and plain values.
            OSError: It could not be written; those of before are still there.
        """
        write_checkpoint(self.newest, content, self._make_room)
        for age, path in self._saved().items():
            if age >= self._n_kept:  # Only now: the newer ones are safe on disk.
                path.unlink(missing_ok=True)

    def read_newest(self) -> tuple[Path, dict[str, Any]]:
        """
        Read the newest good one, and move the damaged ones before it aside.

        Raises:
            NothingSavedError: There is none.
            CheckpointError: None is good.
            OSError: One may not be read; none is moved.
        """
        damaged: dict[Path, CheckpointError] = {}
        for path in self._saved().values():
            try:
                content = read_checkpoint(path)
            except CheckpointError as error:
                damaged[path] = error
                continue
            for other, reason in damaged.items():
                aside = _move_aside(other)
                logger.warning("%s; it is now %s, and %s is used", reason, aside.name, path.name)
            return path, content
        if not damaged:
            raise NothingSavedError(f"there is no last.pt in {self._folder} to go on from")
        names = ", ".join(path.name for path in damaged)
        names_now = ", ".join(_move_aside(path).name for path in damaged)
        raise CheckpointError(
            f"none of {names} in {self._folder} is good (they are now {names_now}); "
            "begin again, or put an older copy back"
        )

    def _make_room(self) -> None:
        """Give the newest name away, overwriting at most the file that is one too many."""
        saved = self._saved()
        free = next((age for age in range(self._n_kept) if age not in saved), self._n_kept)
        for age in range(free, 0, -1):
            saved[age - 1].replace(self._path(age))

    def _path(self, age: int) -> Path:
        return self._folder / (f"last-{age}.pt" if age else "last.pt")

    def _saved(self) -> dict[int, Path]:
        """Return the files there are by their age, the newest first."""
        found = {}
        for path in self._folder.glob("last*.pt"):
            if match := re.fullmatch(r"last(?:-([1-9]\d*))?\.pt", path.name):
                found[int(match[1] or 0)] = path
        return dict(sorted(found.items()))


def _move_aside(path: Path) -> Path:
    """Give a damaged file a name that no file has yet, and return it."""
    aside, number = path.with_name(f"{path.name}.damaged"), 0
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.damaged-{number}")
    return path.rename(aside)
