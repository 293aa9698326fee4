"""The folder `runs/<name>`: found, refused, emptied."""

from __future__ import annotations

import atexit
import shutil
import sys
import tempfile
from pathlib import Path

from scaffold_runtime.errors import UserError
from scaffold_runtime.run_settings import RUNS, RunSettings


def find_run(name: str) -> Path:
    """
    Return the folder of a run.

    Raises:
        UserError: There is no run of this name.

    >>> find_run("a/b")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    scaffold_runtime.errors.UserError: 'a/b' cannot be the name of a run: use letters, ...
    """
    folder = RUNS / checked_name(name)
    if not (folder / "config.yaml").exists():
        known = ", ".join(sorted(path.parent.name for path in RUNS.glob("*/config.yaml")))
        hint = f"there are: {known}" if known else f"train it first: python train.py --run {name}"
        raise UserError(f"there is no run {name!r} here; {hint}")
    return folder


def choose_folder(settings: RunSettings) -> Path:
    """
    Return the folder for what the settings ask for; nothing is written yet.

    Raises:
        UserError: The name cannot be used, or what is asked for does not fit what is there.
    """
    folder = RUNS / checked_name(settings.run)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; choose another name with --run")
    exists = folder.exists() and any(path.name != ".lock" for path in folder.iterdir())
    if settings.resume or settings.evaluate:
        _check_that_it_can_go_on(folder, exists, "resume" if settings.resume else "evaluate")
    elif exists and not settings.overwrite:
        raise UserError(
            f"{folder} exists: choose another name with --run, go on with --resume, "
            "or begin again with --overwrite"
        )
    elif exists and not (folder / "log.txt").exists():
        raise UserError(f"{folder} is not the folder of a run, so it is not overwritten")
    return folder


def checked_name(name: str) -> str:
    """
    Return the name of a run.

    Raises:
        UserError: It cannot be the name of a folder.
    """
    if not name or name.startswith(".") or not name.isprintable() or set(name) & set('/\\:*?"<>|'):
        raise UserError(f"{name!r} cannot be the name of a run: use letters, digits, - and _")
    return name


def temporary_folder() -> Path:
    """Make a folder that is removed when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="fast-dev-run-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def empty(folder: Path) -> None:
    """Remove all but the lock; `log.txt`, by which a run's folder is known, goes last."""
    for path in sorted(folder.iterdir(), key=lambda path: path.name == "log.txt"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != ".lock":
            path.unlink()


def _check_that_it_can_go_on(folder: Path, exists: bool, verb: str) -> None:
    if not exists:
        raise UserError(
            f"nothing to {verb}: there is no {folder}; "
            f"start it with `python {sys.argv[0]} --run {folder.name}`"
        )
    saved = any((folder / "checkpoints").glob("*.pt"))
    if saved and not (folder / "config.yaml").exists():
        raise UserError(
            f"nothing to {verb}: {folder} has no config.yaml, which tells the settings of "
            "the run; put it back, or begin again with --overwrite"
        )
    if verb == "evaluate" and not saved:
        raise UserError(f"nothing to evaluate: nothing was saved in {folder} yet")
