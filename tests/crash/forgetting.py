"""Resuming with one piece of the state left out, to see that the comparison notices."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy
import torch

if TYPE_CHECKING:
    from crash.program import Program


@contextmanager
def piece(program: Program, name: str | None) -> Iterator[None]:
    """After the block, which restores everything, put one piece back to what it was before."""
    if name is None:
        yield
        return
    forget = PIECES[name](program)
    yield
    forget()


def _part(name: str) -> Callable[[Program], Callable[[], None]]:
    def remember(program: Program) -> Callable[[], None]:
        part = getattr(program, name)
        fresh = copy.deepcopy(part.state_dict())
        return lambda: part.load_state_dict(fresh)

    return remember


def _position(program: Program) -> Callable[[], None]:
    """The engine's numbers, but not the state of what is attached to it."""
    fresh = {**program.trainer.state_dict(), "attached": None}
    return lambda: program.trainer.load_state_dict(fresh)


def _metrics(program: Program) -> Callable[[], None]:
    def forget() -> None:
        for name, part in program.trainer.attached().items():
            if name in ("Accuracy", "RunningAverage"):
                part.reset()

    return forget


def _loader(program: Program) -> Callable[[], None]:
    """Whatever the engine tells the loader when it goes on, it begins at the beginning."""
    loader: Any = program.train_data
    seek = loader.seek

    def begin(*_: object, **__: object) -> None:
        loader.seek = seek
        seek(0, 0)

    def forget() -> None:
        loader.seek = begin

    return forget


def _gradients(program: Program) -> Callable[[], None]:
    def forget() -> None:
        program.optimizer.zero_grad()

    return forget


def _generator(seed: Callable[[int], object]) -> Callable[[Program], Callable[[], None]]:
    return lambda program: lambda: (seed(99), None)[1]


PIECES: dict[str, Callable[[Program], Callable[[], None]]] = {
    "position": _position,
    "model": _part("model"),
    "optimizer": _part("optimizer"),
    "scheduler": _part("scheduler"),
    "ema": _part("ema"),
    "metrics": _metrics,
    "stopping": _part("stopping"),
    "best": _part("best"),
    "loader": _loader,
    "python": _generator(random.seed),
    "numpy": _generator(numpy.random.seed),
    "torch": _generator(torch.manual_seed),
    "window": _part("updater"),
    "gradients": _gradients,
}
