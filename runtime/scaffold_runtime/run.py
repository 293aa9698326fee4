"""A run: what it is asked to do, what it prints, logs, saves and leaves."""

from __future__ import annotations

import atexit
import dataclasses
import datetime
import itertools
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import torch

from scaffold_runtime.checkpoints.best_checkpoint import BestCheckpoint
from scaffold_runtime.checkpoints.checkpoint import Checkpoint
from scaffold_runtime.data.loader import Loader
from scaffold_runtime.data.streams import Streams
from scaffold_runtime.device import choose_device, to_device
from scaffold_runtime.engine import Engine
from scaffold_runtime.errors import UserError
from scaffold_runtime.events import Events, FilteredEvent
from scaffold_runtime.files import remove_leftovers
from scaffold_runtime.handlers.progress_bar import ProgressBar
from scaffold_runtime.handlers.signals import SaveOnSignal
from scaffold_runtime.intervals import parse_duration, parse_interval
from scaffold_runtime.lock import lock
from scaffold_runtime.loggers.base import Logger
from scaffold_runtime.loggers.csv_file import CsvLogger
from scaffold_runtime.loggers.json_lines import JsonLinesLogger
from scaffold_runtime.loggers.mlflow import MLflowLogger
from scaffold_runtime.loggers.tensorboard import TensorboardLogger
from scaffold_runtime.loggers.values import scalars
from scaffold_runtime.loggers.wandb import WandBLogger
from scaffold_runtime.run_folder import checked_name, choose_folder, empty, temporary_folder
from scaffold_runtime.run_settings import ACTIONS, RUNS, RunSettings
from scaffold_runtime.seeding import seed_everything
from scaffold_runtime.settings import plain_settings, write_settings
from scaffold_runtime.state import State

Settings = TypeVar("Settings", bound=RunSettings)


class Run(Generic[Settings]):
    """
    A run's settings, its folder with the names of what goes where, and its device.

    >>> run = start_run(RunSettings(fast_dev_run=True, device="cpu"))  # doctest: +ELLIPSIS
    20...
    one batch of everything, to see that it runs: numbers mean nothing; no file stays
    >>> run.checkpoints.name, run.train_length, run.valid_length
    ('checkpoints', 1, 1)
    """

    def __init__(self, settings: Settings, folder: Path, device: torch.device) -> None:
        self.settings = settings  # Those of `--fast-dev-run` are shortened.
        self.name = "fast-dev-run" if settings.fast_dev_run else settings.run
        self.folder = folder
        self.device = device
        self.header = _header(device)
        self.is_trial = settings.fast_dev_run
        self.is_evaluated = settings.evaluate is not None  # Then nothing is written.
        self.checkpoints = folder / "checkpoints"
        self.logger = JsonLinesLogger(folder / "metrics.jsonl")
        self._trainer: Engine | None = None  # Whose parts are saved.
        self._available: int | None = None  # Batches of the data to train on, if that is known.
        trackers = [_make_tracker(name, self) for name in settings.log_to]
        self._trackers = [] if self.is_trial else trackers  # One that is missing was refused.

    @property
    def train_length(self) -> int | None:
        """
        Batches in an epoch of training, as `Engine.run` takes it: None is all of them.

        A limit above what `batches` was given is no limit.
        """
        limit = self.settings.limit_train_batches
        return min(limit, self._available or limit) or None

    @property
    def valid_length(self) -> int | None:
        """Batches in a validation or test; None is all of them."""
        return self.settings.limit_valid_batches or None

    def batches(self, data: Any) -> Any:
        """
        Return what to train on: the data, or the first batches of it, to be overfitted.

        Loaders, and batches in a list, come to the run's device ahead of their use.
        """
        count = self.settings.overfit_batches
        batches = self._moved(list(itertools.islice(data, count)) if count else data)
        self._available = len(batches) if hasattr(batches, "__len__") else None
        return batches

    def total_iterations(self, data: Any) -> int:
        """Return the iterations of the whole run on what `batches` returned, for schedules."""
        return self.settings.max_epochs * (self.train_length or len(data))

    def validations(self) -> FilteredEvent:
        """Return when to validate: every `settings.validate_every` epochs, and after the last."""

        def is_due(engine: Engine, epoch: int) -> bool:
            return epoch % self.settings.validate_every == 0 or epoch == engine.state.max_epochs

        return Events.EPOCH_COMPLETED(event_filter=is_due)

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

    def evaluate(self, evaluator: Engine, data: Any) -> dict[str, Any]:
        """Return what an evaluator measures on the data, or on the first batches of it."""
        limit = self.settings.limit_valid_batches
        return evaluator.run(
            self._moved(data), epoch_length=min(limit, len(data)) if limit else None
        ).metrics

    def follow(
        self,
        trainer: Engine,
        metric_names: Sequence[str] | Literal["all"],
        **optimizers: torch.optim.Optimizer,
    ) -> None:
        """
        Show a progress bar, and log these metrics every `settings.log_every` iterations.

        Learning rates are logged with them: those of optimizers, under the names that these
        are given. The settings are written to `config.yaml` when the trainer starts, not before:
        a run that cannot go on as asked keeps those it had.
        """
        config = self.folder / "config.yaml"
        trainer.add_event_handler(Events.STARTED, lambda: write_settings(config, self.settings))
        ProgressBar().attach(trainer, metric_names)
        often = Events.ITERATION_COMPLETED(every=self.settings.log_every)

        def rates(_: Any) -> dict[str, float]:
            return {name: each.param_groups[0]["lr"] for name, each in optimizers.items()}

        for logger in (self.logger, *self._trackers):
            logger.attach_output_handler(trainer, often, "train", metric_names, rates)
        for tracker in self._trackers:
            trainer.add_event_handler(Events.EXCEPTION_RAISED, tracker.close)
            atexit.register(tracker.close)  # Where nobody calls `finish`.

    def save(self, trainer: Engine, parts: Mapping[str, Any]) -> Checkpoint:
        """
        Save these parts every `settings.save_every`, at the end, and when a signal says so.

        After `settings.max_time` the run is saved and stopped.

        Returns:
            What saves them, for `resume`.

        Raises:
            IntervalError: `save_every` or `max_time` cannot be understood.
        """
        self._trainer = trainer
        settings = self.settings
        checkpoint = Checkpoint(
            self.checkpoints,
            {**parts, "logger": self.logger},
            background=settings.save_in_background,
            on_error=settings.on_save_error,
            settings=plain_settings(settings),
        )
        trainer.add_event_handler(Events.COMPLETED, checkpoint)
        checkpoint.attach(trainer, settings.save_every)
        SaveOnSignal(checkpoint.save_or_report, settings.max_time).attach(trainer)
        return checkpoint

    def keep_best(
        self,
        trainer: Engine,
        parts: Mapping[str, Any],
        score_name: str,
        mode: Literal["max", "min"] = "max",
        model_name: str = "model",
    ) -> BestCheckpoint:
        """Return what keeps these parts as they were at the best score that it is offered."""
        return BestCheckpoint(
            self.checkpoints,
            parts,
            trainer,
            score_name,
            mode,
            model_name=model_name,
            on_error=self.settings.on_save_error,
        )

    def resume(self, checkpoint: Checkpoint, max_epochs: int | None = None) -> None:
        """
        Put the parts back as they were when the newest checkpoint was saved.

        A run that was stopped before its first begins at the beginning, and says so.

        Args:
            checkpoint: What `save` returned.
            max_epochs: Of the whole run, where it has more than `settings.max_epochs`.

        Raises:
            CheckpointError: No checkpoint is good, or they do not fit.
        """
        if not any(self.checkpoints.glob("last*.pt")):  # A best one may be there before it.
            self.say("no checkpoint was saved yet: the run begins at the beginning")
            self.logger.load_state_dict({"size": 0})  # Or its epochs would be there twice.
            return
        checkpoint.restore()
        epochs = max_epochs or self.settings.max_epochs
        trainer = self._trainer
        if trainer and trainer.state.epoch <= epochs and trainer._is_complete(epochs):
            self.say(f"all {epochs} epochs are done; a larger --max-epochs makes the run longer")

    def log_epoch(self, state: State, **splits: Mapping[str, Any]) -> None:
        """Log the metrics of each split, and say their single numbers in one line."""
        parts = [f"epoch {state.epoch:>{len(str(state.max_epochs))}}/{state.max_epochs}"]
        for split, metrics in splits.items():
            for logger in (self.logger, *self._trackers):
                logger.log(split, state, metrics)
            numbers = {name: value for name, value in scalars(metrics).items() if name in metrics}
            shown = (f"{name} {value:.4f}" for name, value in numbers.items())
            parts.append(f"{split} {', '.join(shown)}")
        self.say("  |  ".join(parts))

    def finish(self, state: State, split: str, reached: Mapping[str, Any]) -> None:
        """Log what the best checkpoint reached on a split, unless that is all that was asked."""
        if not self.is_evaluated:
            for logger in (self.logger, *self._trackers):
                logger.log(split, state, reached)
                logger.close()

    def _moved(self, data: Any) -> Any:
        if isinstance(data, Loader | Streams):
            return data.to(self.device)
        return to_device(data, self.device) if isinstance(data, list) else data


def start_run(settings: Settings) -> Run[Settings]:
    """
    Seed everything, choose the device and open the run's folder.

    A name that exists is refused, unless the run is resumed, evaluated or to be
    overwritten. With `fast_dev_run` the folder is a temporary one.

    Raises:
        UserError: The name cannot be used, there is no such device, or a tracker is not installed.

    >>> start_run(RunSettings(resume=True, overwrite=True))
    Traceback (most recent call last):
    scaffold_runtime.errors.UserError: --resume and --overwrite exclude each other; give one of them
    """
    _check(settings)
    seed_everything(settings.seed)
    if settings.deterministic:
        _be_deterministic()
    device = choose_device(settings.device)
    if settings.fast_dev_run:
        settings = _shortened(settings)
        run = Run(settings, temporary_folder(), device)
    else:
        run = Run(settings, choose_folder(settings), device)
    if not run.is_evaluated:
        _open(run)
    return run


def _check(settings: RunSettings) -> None:
    """Refuse what would be refused later, when the folder is made already."""
    checked_name(settings.run)
    parse_interval(settings.save_every)
    if settings.max_time is not None:
        parse_duration(settings.max_time)
    asked = [name for name in ACTIONS if getattr(settings, name)]
    if len(asked) > 1:
        first, second = (f"--{name.replace('_', '-')}" for name in asked[:2])
        raise UserError(f"{first} and {second} exclude each other; give one of them")


def _shortened(settings: Settings) -> Settings:
    """Return the settings with one epoch of each kind, one batch, and nothing kept."""
    ones = ("validate_every", "limit_train_batches", "limit_valid_batches")
    names = [field.name for field in dataclasses.fields(settings)]
    short = {name: 1 for name in names if name in ones or name.endswith("_epochs")}
    return dataclasses.replace(settings, **short)  # type: ignore[arg-type]


def _be_deterministic() -> None:
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS asks for it.
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True)


def _open(run: Run[Any]) -> None:
    """Make the folder, alone in it, and begin its log."""
    run.folder.mkdir(parents=True, exist_ok=True)
    lock(run.folder)
    remove_leftovers(run.folder)
    if run.settings.overwrite:
        empty(run.folder)
    _say_warnings(run)
    run.say(run.header)
    if run.is_trial:
        run.say("one batch of everything, to see that it runs: numbers mean nothing; no file stays")


def _make_tracker(name: str, run: Run[Any]) -> Logger:
    if name == "csv":
        return CsvLogger(run.folder / "metrics.csv")
    if name == "tensorboard":
        return TensorboardLogger(run.folder / "tensorboard")
    if name == "mlflow":
        return MLflowLogger(f"sqlite:///{RUNS / 'mlflow.db'}", run_name=run.name)
    mode = os.environ.get("WANDB_MODE", "offline")
    return WandBLogger(run.folder, mode, name=run.name, config=plain_settings(run.settings))


def _say_warnings(run: Run[Any]) -> None:
    """Say what the runtime reports, so that it stands in `log.txt` and breaks no bar."""
    reports = logging.getLogger("scaffold_runtime")
    reports.setLevel(logging.INFO)
    reports.handlers = [_Sayer(run)]


class _Sayer(logging.Handler):
    def __init__(self, run: Run[Any]) -> None:
        super().__init__()
        self._run = run

    def emit(self, record: logging.LogRecord) -> None:
        kind = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        self._run.say(kind + record.getMessage())


def _header(device: torch.device) -> str:
    now = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
    return f"{now}  {' '.join(sys.argv)}  (torch {torch.__version__}, {device})"
