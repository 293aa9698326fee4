"""
A training program for the crash tests: small, real, and with a witness.

    program.py FOLDER [--resume] [options]

FOLDER/run        is what a run writes: checkpoints, metrics.jsonl
FOLDER/witness    one line, written at once, for whatever happened; it outlives every kill:
                      begun 14            this process goes on after iteration 14
                      step 15 0x1.8p+0 3,17,4,...     the loss and the samples of an iteration
                      saved 21            the checkpoint of iteration 21 is on disk
FOLDER/final.pt   the whole state, when the run is complete
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy
import torch
from crash import faults, forgetting, killing
from crash.samples import CLASSES, FEATURES, TRAIN, VALID, Samples, Trap
from torch import Tensor, nn
from torch.nn import functional

from scaffold_runtime import (
    EMA,
    Accuracy,
    BestCheckpoint,
    Checkpoint,
    EarlyStopping,
    Engine,
    Events,
    JsonLinesLogger,
    Loader,
    LRScheduler,
    NothingSavedError,
    RunningAverage,
    TerminateOnNan,
    Updater,
    cosine_with_warm_up,
    random_state,
    read_checkpoint,
    seed_everything,
)

BATCH_SIZE = 16
COSINE = 70  # Iterations, whatever the length of the run, so that a longer one begins alike.


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options of a command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-epochs", type=int, default=5)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--ema", action="store_true")
    parser.add_argument("--scheduler", choices=["cosine", "plateau"])
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--best", type=int, default=1)
    parser.add_argument("--patience", type=int, default=100)
    parser.add_argument("--save-every", default="1ep")
    parser.add_argument("--background", action="store_true", help="save in a thread")
    parser.add_argument("--save-first", action="store_true", help="attach it before all others")
    parser.add_argument("--forget", choices=forgetting.PIECES)
    parser.add_argument("--fault", choices=faults.FAULTS)
    parser.add_argument("--trap", help="KIND@SAMPLE; see samples.Trap")
    parser.add_argument("--raise-at", type=int, help="iteration whose handler fails, once")
    parser.add_argument("--nan-at", type=int, help="iteration whose loss is NaN")
    return parser.parse_args(arguments)


class Witness:
    """A file of lines that are written at once and never taken back."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)

    def tell(self, *words: object) -> None:
        """Add a line."""
        os.write(self._file, (" ".join(map(str, words)) + "\n").encode())


class WitnessedCheckpoint(Checkpoint):
    """A checkpoint that tells the witness when a state is safe."""

    witness: Witness
    trainer: Engine
    is_safe_at_once = True
    _saved = 0

    def save(self) -> Path:
        iteration = self.trainer.state.iteration
        path = super().save()
        if self.is_safe_at_once:
            self.witness.tell("saved", iteration)
        self._saved += 1
        killing.saved(self._saved)
        return path


class Program:
    """The parts of a run, and what happens in it."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.folder = options.folder / "run"
        faults.plant(options.fault, self.folder / "checkpoints")
        self.witness = Witness(options.folder / "witness")
        seed_everything(options.seed)
        self.train_data, self.valid_data = make_data(options)
        self.model = nn.Sequential(
            *(nn.Linear(FEATURES, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Dropout(0.2)),
            nn.Linear(24, CLASSES),
        )
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.01)
        self.updater = Updater(self.optimizer, options.accumulate, gradient_clip_val=5.0)
        self.trainer = Engine(self.train_step)
        self.evaluator = Engine(self.valid_step)
        self.ema = EMA(self.model, momentum=0.1) if options.ema else None
        self.logger = JsonLinesLogger(self.folder / "metrics.jsonl")
        self.best = BestCheckpoint(
            self.folder / "checkpoints",
            {"model": self.model},
            self.trainer,
            "loss",
            mode="min",
            n_saved=options.best,
        )
        self.stopping = EarlyStopping(
            options.patience, lambda e: e.state.metrics["loss"], self.trainer, mode="min"
        )
        self.scheduler = self.make_scheduler()
        self.checkpoint = self.make_checkpoint()
        self.attach()

    def make_scheduler(self) -> LRScheduler | None:
        schedulers = torch.optim.lr_scheduler
        if self.options.scheduler == "cosine":
            factor = cosine_with_warm_up(COSINE, warm_up=0.1)
            return LRScheduler(schedulers.LambdaLR(self.optimizer, factor))
        if self.options.scheduler == "plateau":
            plateau = schedulers.ReduceLROnPlateau(self.optimizer, factor=0.5, patience=0)
            return LRScheduler(plateau, metric="loss")
        return None

    def make_checkpoint(self) -> WitnessedCheckpoint:
        parts: dict[str, Any] = {"trainer": self.trainer, "model": self.model}
        parts |= {"optimizer": self.optimizer, "best": self.best, "stopping": self.stopping}
        if self.options.scheduler == "plateau":  # The others are attached to the trainer.
            parts["scheduler"] = self.scheduler
        how = {"background": True} if self.options.background else {}
        checkpoint = WitnessedCheckpoint(self.folder / "checkpoints", parts, **how)
        checkpoint.is_safe_at_once = not how
        checkpoint.witness, checkpoint.trainer = self.witness, self.trainer
        return checkpoint

    def attach(self) -> None:
        """Attach everything, in the order in which a user would."""
        trainer, evaluator, options = self.trainer, self.evaluator, self.options
        if options.save_first:
            self.checkpoint.attach(trainer, every=options.save_every)
        Accuracy().attach(trainer, "accuracy")
        RunningAverage(output_transform=lambda o: o["loss"]).attach(trainer, "loss")
        self.updater.attach(trainer)
        if self.ema is not None:
            self.ema.attach(trainer)
        Accuracy().attach(evaluator, "accuracy")
        RunningAverage(output_transform=lambda o: o["loss"]).attach(evaluator, "loss")
        if self.scheduler is not None:
            plateau = options.scheduler == "plateau"
            self.scheduler.attach(*((evaluator, "epoch") if plateau else (trainer, "iteration")))
        often = Events.ITERATION_COMPLETED(every=5)
        self.logger.attach_output_handler(trainer, often, "train", ["loss"])
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self.validate)
        trainer.add_event_handler(
            Events.ITERATION_COMPLETED, TerminateOnNan(lambda o: o["loss"], check_every=4)
        )
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self.fail)
        if not options.save_first:
            self.checkpoint.attach(trainer, every=options.save_every)
        trainer.add_event_handler(
            Events.ITERATION_COMPLETED, lambda e: killing.reach("end", e.state.iteration)
        )

    def train_step(self, trainer: Engine, batch: list[Tensor]) -> dict[str, Tensor]:
        iteration = trainer.state.iteration
        points, classes, ids = batch
        self.model.train()
        killing.reach("start", iteration)
        # Numbers that a training process draws itself, beside dropout's.
        points = random.uniform(0.9, 1.1) * points + 0.1 * numpy.random.normal()  # noqa: NPY002
        bf16 = torch.autocast("cpu", torch.bfloat16, enabled=self.options.bf16)
        with bf16:
            scores = self.model(points)
            loss = functional.cross_entropy(scores, classes)
        if iteration == self.options.nan_at:
            loss = loss * torch.nan
        self.updater.backward(loss)
        killing.reach("backward", iteration)
        self.witness.tell(
            "step", iteration, float(loss.item()).hex(), ",".join(map(str, ids.tolist()))
        )
        self.updater.step(trainer)
        killing.reach("step", iteration)
        return {"loss": loss.detach(), "y_pred": scores.detach(), "y": classes}

    @torch.no_grad()
    def valid_step(self, evaluator: Engine, batch: list[Tensor]) -> dict[str, Tensor]:
        points, classes, _ = batch
        self.model.eval()
        scores = self.model(points)
        loss = functional.cross_entropy(scores, classes)
        return {"loss": loss, "y_pred": scores, "y": classes}

    def validate(self, trainer: Engine) -> None:
        with self.averaged():
            metrics = self.evaluator.run(self.valid_data).metrics
        self.logger.log("train", trainer.state, trainer.state.metrics)
        self.logger.log("valid", trainer.state, metrics)
        self.best.offer(metrics["loss"])
        self.stopping(self.evaluator)
        killing.reach("validate", trainer.state.iteration)

    def averaged(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext() if self.ema is None else self.ema.averaged()

    def fail(self, trainer: Engine) -> None:
        """Raise, once in the whole run, if the options say so."""
        failed = self.options.folder / "failed"
        if trainer.state.iteration == self.options.raise_at and not failed.exists():
            failed.touch()
            raise RuntimeError(f"the handler of iteration {self.options.raise_at} failed")

    def run(self) -> None:
        """Restore if asked to, train, and write the final state."""
        if self.options.resume:
            with forgetting.piece(self, self.options.forget):
                self.restore()
        self.witness.tell("begun", self.trainer.state.iteration)
        self.trainer.run(self.train_data, max_epochs=self.options.max_epochs)
        part = self.options.folder / "final.part"
        torch.save(dict(self.final_state()), part)
        part.replace(self.options.folder / "final.pt")

    def restore(self) -> None:
        """Go on, or begin again if nothing was saved, as a user would have to."""
        try:
            self.checkpoint.restore()
        except NothingSavedError:
            shutil.rmtree(self.folder, ignore_errors=True)

    def final_state(self) -> Iterator[tuple[str, Any]]:
        yield "random_state", random_state()
        yield "trainer", self.trainer.state_dict()
        yield "metrics", dict(self.trainer.state.metrics)
        for name in ("model", "optimizer", "updater", "ema", "scheduler", "stopping", "best"):
            part = getattr(self, name)
            yield name, None if part is None else part.state_dict()
        # Which older states are left depends on where the writing was cut.
        files = sorted(
            file for file in (self.folder / "checkpoints").iterdir() if not is_older(file)
        )
        yield "files", [file.name for file in files]
        for file in files:
            if file.name == "last.pt" or file.name.startswith("best_"):
                yield file.name, read_checkpoint(file)


def is_older(file: Path) -> bool:
    """Say whether a file is the state before the newest, or one before that."""
    return file.name.startswith("last-")


def make_data(options: argparse.Namespace) -> tuple[Loader, Loader]:
    """Return the loaders of the training and the validation data."""
    trap = None
    if options.trap:
        kind, _, sample = options.trap.partition("@")
        trap = Trap(kind, int(sample), options.folder / "sprung")
    train = Samples(TRAIN, seed=1, augmented=True, trap=trap)
    loader = Loader(train, BATCH_SIZE, shuffle=True, seed=options.seed, num_workers=options.workers)
    return loader, Loader(Samples(VALID, seed=2), batch_size=VALID)


if __name__ == "__main__":
    # Four workers on a machine with fewer processors are what is wanted here.
    warnings.filterwarnings("ignore", "This DataLoader will create")
    Program(parse()).run()
