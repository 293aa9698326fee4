"""The settings that every project has, and which of them a run may change on its way."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from scaffold_runtime.ranges import Count, Size

RUNS = Path("runs")
Tracker = Literal["csv", "tensorboard", "mlflow", "wandb"]


@dataclass(frozen=True)
class RunSettings:
    """
    What a run is called, what it is asked to do, and how it is saved.

    A project's own `Settings` adds what its model and training need; a field of the
    same name there has another default.

    >>> @dataclass(frozen=True)
    ... class Settings(RunSettings):
    ...     run: str = "mine"
    ...     lr: float = 1e-3  # The learning rate.
    >>> Settings().run, Settings().save_every
    ('mine', 'epoch')
    """

    run: str = "first"  # Results go to runs/<run>.
    resume: bool = False  # Go on from the newest checkpoint of this run.
    overwrite: bool = False  # Throw away an earlier run of this name.
    evaluate: Literal["valid", "test"] | None = None  # Only measure the best checkpoint on this.
    fast_dev_run: bool = False  # One batch of everything, to see that it works; writes nothing.
    seed: Count = 0  # Decides the split, the first weights, the order, the augmentation.
    device: str = "auto"  # cuda, mps or cpu; auto takes the first of these that is there.
    max_epochs: Size = 10  # Passes over the training data.
    validate_every: Size = 1  # Epochs between two validations.
    log_every: Size = 10  # Iterations between two lines of metrics.jsonl.
    num_workers: Count = 0  # Processes that load data; 0 loads between the steps.
    save_every: str = "epoch"  # From checkpoint to checkpoint: epoch, 500 (iterations), 2ep, 10min.
    save_in_background: bool = False  # Write checkpoints beside the training, from a copy.
    on_save_error: Literal["continue", "stop"] = "continue"  # When the disk is full, for example.
    max_time: str | None = None  # Save and stop after this time: 30min, 11.5h.
    log_to: tuple[Tracker, ...] = ()  # Where metrics go as well as to metrics.jsonl.
    limit_train_batches: Count = 0  # Batches in an epoch; 0 takes all.
    limit_valid_batches: Count = 0  # Batches in a validation or test; 0 takes all.
    overfit_batches: Count = 0  # Train on the first so many batches alone, over and over.
    deterministic: bool = False  # Only algorithms that repeat exactly, also on a GPU; slower.


# What a run is asked to do, one at a time.
ACTIONS = ("resume", "overwrite", "evaluate", "fast_dev_run")
# What holds for one start of it, and is left out of its config.yaml.
ONCE = (*ACTIONS, "max_time")
# What may be another when a run goes on or is measured: with another value of any other
# setting its checkpoints would not fit, its data be split anew, or its record be false.
CHANGEABLE = (
    *("run", "device", "num_workers", "max_epochs", "patience", "validate_every", "log_every"),
    *("save_every", "save_in_background", "on_save_error", "cache"),
    *ONCE,
)
