"""The folder `runs/<name>` that a run fills."""

from __future__ import annotations

import atexit
import datetime
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from scaffold_runtime.checkpoints.checkpoint import Checkpoint
from scaffold_runtime.device import choose_device
from scaffold_runtime.engine import Engine
from scaffold_runtime.errors import UserError
from scaffold_runtime.events import Events
from scaffold_runtime.files import remove_leftovers
from scaffold_runtime.handlers.progress_bar import ProgressBar
from scaffold_runtime.handlers.signals import SaveOnSignal
from scaffold_runtime.intervals import parse_duration, parse_interval
from scaffold_runtime.lock import lock
from scaffold_runtime.loggers.json_lines import JsonLinesLogger
from scaffold_runtime.run_settings import ACTIONS, RUNS, RunSettings
from scaffold_runtime.seeding import seed_everything
from scaffold_runtime.settings import plain_settings, write_settings
from scaffold_runtime.state import State


class Run:
    """
    A run's folder, with the names of what goes where, and its device; `start_run` makes one.

    >>> run = start_run(RunSettings(fast_dev_run=True, device="cpu"))  # doctest: +ELLIPSIS
    20...
    one batch of everything; what it writes goes to a temporary folder and is removed
    >>> run.name, run.checkpoints.name, run.limit
    ('fast-dev-run', 'checkpoints', 1)
    """

    def __init__(
        self, name: str, folder: Path, device: torch.device, limit: int | None = None
    ) -> None:
        self.name = name
        self.folder = folder
        self.limit = limit  # Batches in an epoch and epochs in the run; None is all of them.
        self.header = _header(device)
        self.is_evaluated = False  # Then nothing is written.
        self.device = device
        self.checkpoints = folder / "checkpoints"
        self.logger = JsonLinesLogger(folder / "metrics.jsonl")

    def say(self, line: str) -> None:
        """Print a line, above a progress bar if there is one, and add it to `log.txt`."""
        if not self.is_evaluated:
            # On a full disk what is said is seen at least, and the training goes on.
            with suppress(OSError), (self.folder / "log.txt").open("a", encoding="utf-8") as log:
                log.write(line + "\n")
        try:
            ProgressBar.log_message(line)
        except BrokenPipeError:  # Nobody reads any more; the run goes on.
            sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115

    def follow(self, trainer: Engine, settings: Any, metric_names: Sequence[str]) -> None:
        """
        Show a progress bar, and log these metrics every `settings.log_every` iterations.

        The settings are written to `config.yaml` when the trainer starts, not before:
        a run that cannot go on as asked keeps those it had.
        """
        config = self.folder / "config.yaml"
        trainer.add_event_handler(Events.STARTED, lambda: write_settings(config, settings))
        ProgressBar().attach(trainer, metric_names)
        often = Events.ITERATION_COMPLETED(every=settings.log_every)
        self.logger.attach_output_handler(trainer, often, "train", metric_names)

    def save(self, trainer: Engine, parts: Mapping[str, Any], settings: RunSettings) -> Checkpoint:
        """
        Save these parts every `settings.save_every`, at the end, and when a signal says so.

        After `settings.max_time` the run is saved and stopped.

        Returns:
            What saves them, for `restore`.

        Raises:
            IntervalError: `save_every` or `max_time` cannot be understood.
        """
        checkpoint = Checkpoint(
            self.checkpoints,
            parts,
            background=settings.save_in_background,
            on_error=settings.on_save_error,
            settings=plain_settings(settings),
        )
        trainer.add_event_handler(Events.COMPLETED, checkpoint)
        checkpoint.attach(trainer, settings.save_every)
        SaveOnSignal(checkpoint.save_or_report, settings.max_time).attach(trainer)
        return checkpoint

    def resume(self, checkpoint: Checkpoint) -> None:
        """
        Put the parts back as they were when the newest checkpoint was saved.

        A run that was stopped before its first begins at the beginning, and says so.

        Raises:
            CheckpointError: No checkpoint is good, or they do not fit.
        """
        if any(self.checkpoints.glob("*.pt")):
            checkpoint.restore()
        else:
            self.say("no checkpoint was saved yet: the run begins at the beginning")

    def log_epoch(self, state: State, **splits: Mapping[str, Any]) -> None:
        """Log the metrics of each split, and say them in one line."""
        parts = [f"epoch {state.epoch:>{len(str(state.max_epochs))}}/{state.max_epochs}"]
        for split, metrics in splits.items():
            self.logger.log(split, state, metrics)
            numbers = (
                f"{name} {float(value):.4f}"
                for name, value in metrics.items()
                if isinstance(value, int | float) or getattr(value, "ndim", None) == 0
            )
            parts.append(f"{split} {', '.join(numbers)}")
        self.say("  |  ".join(parts))


def start_run(settings: RunSettings) -> Run:
    """
    Seed everything, choose the device and open the run's folder.

    A name that exists is refused, unless the run is resumed, evaluated or to be
    overwritten. With `fast_dev_run` the folder is a temporary one.

    Raises:
        UserError: The name cannot be used, or there is no such device.

    >>> start_run(RunSettings(resume=True, overwrite=True))
    Traceback (most recent call last):
    scaffold_runtime.errors.UserError: --resume and --overwrite exclude each other; give one of them
    """
    _check_settings(settings)
    seed_everything(settings.seed)
    device = choose_device(settings.device)
    if settings.fast_dev_run:
        run = Run("fast-dev-run", _temporary_folder(), device, limit=1)
    else:
        run = Run(settings.run, RUNS / _checked_name(settings.run), device)
        _check_folder(run, settings)
    if settings.evaluate:
        run.is_evaluated = True
        return run
    run.folder.mkdir(parents=True, exist_ok=True)
    lock(run.folder)
    remove_leftovers(run.folder)
    if settings.overwrite:
        _empty(run.folder)
    _say_warnings(run)
    run.say(run.header)
    if settings.fast_dev_run:
        run.say("one batch of everything; what it writes goes to a temporary folder and is removed")
    return run


def find_run(name: str) -> Path:
    """
    Return the folder of a run.

    Raises:
        UserError: There is no run of this name.

    >>> find_run("a/b")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    scaffold_runtime.errors.UserError: 'a/b' cannot be the name of a run: use letters, ...
    """
    folder = RUNS / _checked_name(name)
    if not (folder / "config.yaml").exists():
        known = ", ".join(sorted(path.parent.name for path in RUNS.glob("*/config.yaml")))
        raise UserError(f"there is no run {name!r} here; there are: {known or 'none'}")
    return folder


def _check_settings(settings: RunSettings) -> None:
    """Refuse what would be refused later, when the folder is made already."""
    parse_interval(settings.save_every)
    if settings.max_time is not None:
        parse_duration(settings.max_time)
    asked = [name for name in ACTIONS if getattr(settings, name)]
    if len(asked) > 1:
        first, second = (f"--{name.replace('_', '-')}" for name in asked[:2])
        raise UserError(f"{first} and {second} exclude each other; give one of them")


def _check_folder(run: Run, settings: RunSettings) -> None:
    if run.folder.exists() and not run.folder.is_dir():
        raise UserError(f"{run.folder} is a file; choose another name with --run")
    exists = run.folder.exists() and any(path.name != ".lock" for path in run.folder.iterdir())
    if settings.resume or settings.evaluate:
        verb = "resume" if settings.resume else "evaluate"
        if not exists:
            raise UserError(
                f"nothing to {verb}: there is no {run.folder}; "
                f"start it with `python {sys.argv[0]} --run {run.folder.name}`"
            )
        saved = any(run.checkpoints.glob("*.pt"))
        if saved and not (run.folder / "config.yaml").exists():
            raise UserError(
                f"nothing to {verb}: {run.folder} has no config.yaml, which tells the settings of "
                "the run; put it back, or begin again with --overwrite"
            )
        if settings.evaluate and not saved:
            raise UserError(f"nothing to evaluate: nothing was saved in {run.folder} yet")
    elif exists and not settings.overwrite:
        raise UserError(
            f"{run.folder} exists: choose another name with --run, go on with --resume, "
            "or begin again with --overwrite"
        )
    elif exists and not (run.folder / "log.txt").exists():
        raise UserError(f"{run.folder} is not the folder of a run, so it is not overwritten")


def _empty(folder: Path) -> None:
    """Remove all but the lock; `log.txt`, by which a run's folder is known, goes last."""
    for path in sorted(folder.iterdir(), key=lambda path: path.name == "log.txt"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != ".lock":
            path.unlink()


def _checked_name(name: str) -> str:
    if not name or name.startswith(".") or not name.isprintable() or set(name) & set('/\\:*?"<>|'):
        raise UserError(f"{name!r} cannot be the name of a run: use letters, digits, - and _")
    return name


def _say_warnings(run: Run) -> None:
    """Say what the runtime reports, so that it stands in `log.txt` and breaks no bar."""
    reports = logging.getLogger("scaffold_runtime")
    reports.setLevel(logging.INFO)
    reports.handlers = [_Sayer(run)]


class _Sayer(logging.Handler):
    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run

    def emit(self, record: logging.LogRecord) -> None:
        kind = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        self._run.say(kind + record.getMessage())


def _temporary_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="fast-dev-run-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _header(device: torch.device) -> str:
    now = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
    return f"{now}  {' '.join(sys.argv)}  (torch {torch.__version__}, {device})"
