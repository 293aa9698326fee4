"""Engines, and what is attached to them, go as soon as nobody holds them."""

from __future__ import annotations

import gc
import io
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import scaffold_runtime as scaffold
from scaffold_runtime import Engine, Events

DATA = [(torch.randn(4, 2), torch.tensor([0, 1, 0, 1])) for _ in range(3)]
often = Events.ITERATION_COMPLETED(every=2)


class Parts:
    """A run's engines, model and optimizer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = nn.Linear(2, 2)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
        self.trainer = scaffold.create_supervised_trainer(
            self.model, self.optimizer, nn.functional.cross_entropy, gradient_clip_val=1.0
        )
        self.evaluator = scaffold.create_supervised_evaluator(self.model)


def train(parts: Parts) -> None:
    """Run both engines."""
    parts.trainer.run(DATA, max_epochs=2)
    parts.evaluator.run(DATA)


def nothing(parts: Parts) -> None:
    pass


def functions(parts: Parts) -> Any:
    def handler(engine: Engine, *args: int, **kwargs: int) -> None:
        pass

    parts.trainer.add_event_handler(often | Events.COMPLETED, handler, 1, more=2)
    parts.trainer.add_event_handler(Events.STARTED(event_filter=lambda _, count: True), lambda: 0)
    return parts.trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: None)


def metrics(parts: Parts) -> Any:
    precision = scaffold.Precision()
    (precision * scaffold.Recall()).mean().attach(parts.evaluator, "product")
    scaffold.mIoU(scaffold.ConfusionMatrix(2)).attach(parts.evaluator, "iou")
    scaffold.RunningAverage().attach(parts.trainer, "loss")
    return precision


def early_stopping(parts: Parts) -> Any:
    stopping = scaffold.EarlyStopping(9, lambda engine: 0.5, parts.trainer)
    parts.evaluator.add_event_handler(Events.COMPLETED, stopping)
    return stopping


def best_checkpoint(parts: Parts) -> Any:
    best = scaffold.BestCheckpoint(parts.folder, {"model": parts.model}, parts.trainer)
    parts.evaluator.add_event_handler(Events.COMPLETED, lambda: best.offer(0.5))
    return best


def checkpoint(parts: Parts) -> Any:
    checkpoint = scaffold.Checkpoint(parts.folder, {"model": parts.model, "o": parts.optimizer})
    checkpoint.attach(parts.trainer)
    return checkpoint


def logger(parts: Parts) -> Any:
    logger = scaffold.JsonLinesLogger(parts.folder / "metrics.jsonl")
    logger.attach_output_handler(parts.trainer, often, "train")
    logger.attach_opt_params_handler(parts.trainer, often, parts.optimizer)
    logger.attach_model_handler(parts.trainer, often, parts.model)
    return logger


def attached(make: Callable[[Parts], Any]) -> Callable[[Parts], Any]:
    """Return what makes a handler and attaches it to the trainer."""

    def attach(parts: Parts) -> Any:
        handler = make(parts)
        handler.attach(parts.trainer)
        return handler

    return attach


CASES = {
    "nothing": nothing,
    "functions": functions,
    "metrics": metrics,
    "early stopping": early_stopping,
    "best checkpoint": best_checkpoint,
    "checkpoint": checkpoint,
    "logger": logger,
    "scheduler": attached(
        lambda parts: scaffold.LRScheduler(torch.optim.lr_scheduler.StepLR(parts.optimizer, 1))
    ),
    "average": attached(lambda parts: scaffold.EMA(parts.model)),
    "bar": attached(lambda parts: scaffold.ProgressBar(file=io.StringIO(), disable=False)),
    "timer": attached(lambda parts: scaffold.Timer()),
    "stats": attached(lambda parts: scaffold.DeviceStats("cpu")),
    "profiler": attached(lambda parts: scaffold.Profiler(parts.folder, 1, 1, 1)),
}


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Leave the collector of cycles out of it."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("attach", CASES.values(), ids=CASES)
@pytest.mark.usefixtures("uncollected")
def test_what_is_dropped_is_freed(attach: Callable[[Parts], Any], tmp_path: Path) -> None:
    """After a run there are no cycles: the last reference gone, engines and handlers are, too."""
    train(Parts(tmp_path))  # The first run of a process leaves some things in torch's hands.
    parts = Parts(tmp_path)
    handler = attach(parts)
    train(parts)
    seen = [parts.trainer, parts.evaluator, parts.model, *([handler] if handler else [])]
    watched = [weakref.ref(each) for each in seen]
    del parts, handler, seen

    assert [each() for each in watched] == [None] * len(watched)


@pytest.mark.usefixtures("uncollected")
def test_an_engine_that_failed_is_freed() -> None:
    """An exception that was dealt with keeps nothing alive."""
    engine = Engine(lambda engine, batch: 1 / batch)
    engine.add_event_handler(Events.EXCEPTION_RAISED, lambda engine, error: None)
    watched = weakref.ref(engine)
    with pytest.raises(ZeroDivisionError) as caught:
        engine.run([0])
    del caught, engine

    assert watched() is None
