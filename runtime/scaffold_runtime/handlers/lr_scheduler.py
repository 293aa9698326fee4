"""Learning rates that change over a run."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from torch.optim.lr_scheduler import LRScheduler as TorchScheduler
from torch.optim.lr_scheduler import ReduceLROnPlateau

from scaffold_runtime.engine import Engine
from scaffold_runtime.events import Events
from scaffold_runtime.intervals import Interval, parse_interval
from scaffold_runtime.listeners import RemovableEventHandle


class LRScheduler:
    """
    Step one of torch's schedulers each iteration, each epoch, or by a metric.

    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    >>> scheduler = LRScheduler(torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5))
    >>> trainer = Engine(lambda engine, batch: (optimizer.step(), scheduler.lr)[1])
    >>> handle = scheduler.attach(trainer, every="epoch")
    >>> trainer.run([0, 1], max_epochs=3).output
    [0.25]
    """

    def __init__(
        self,
        lr_scheduler: TorchScheduler,
        metric: str | None = None,
        warmup_start_value: float = 0.0,
        warmup_duration: int = 0,
    ) -> None:
        """
        Args:
            lr_scheduler: One of `torch.optim.lr_scheduler`, not stepped yet.
            metric: For `ReduceLROnPlateau`: which of the engine's `state.metrics` it gets.
            warmup_start_value: The first learning rate of the warm-up.
            warmup_duration: Steps in which the learning rate rises from there to the
                optimizer's, before the scheduler begins.

        Raises:
            ValueError: `ReduceLROnPlateau` has no metric, or another scheduler has one.
        """
        if isinstance(lr_scheduler, ReduceLROnPlateau) != (metric is not None):
            raise ValueError("a metric is what ReduceLROnPlateau needs, and no other scheduler")
        if warmup_duration < 0 or warmup_duration == 1:
            raise ValueError(f"warmup_duration must be 0 or at least 2, not {warmup_duration}")
        self.scheduler = lr_scheduler
        self._metric = metric
        self._start, self._duration = warmup_start_value, warmup_duration
        self._peaks = self.lr
        self._steps = 0
        self._begun = False
        if warmup_duration:
            self._warm_up()

    @property
    def lr(self) -> list[float]:
        """The learning rate of each of the optimizer's groups, now."""
        return [float(group["lr"]) for group in self.scheduler.optimizer.param_groups]

    def attach(
        self, engine: Engine, every: str | int | Interval = "iteration"
    ) -> RemovableEventHandle:
        """
        Step after each of these intervals: `"epoch"`, 100 iterations; see `parse_interval`.

        By a metric, attach it to the engine that has it, after the metric.
        """
        return engine.add_event_handler(parse_interval(every).event(), self)

    def __call__(self, engine: Engine) -> None:
        """Step; attached to an event that begins something, the first call does nothing."""
        if engine.is_resuming:  # The event was there before the run was stopped.
            return
        if not self._begun:
            self._begun = True
            if _is_starting(engine):
                return
        self._steps += 1
        if self._steps < self._duration:
            self._warm_up()
        elif self._metric is not None:
            self._step(float(engine.state.metrics[self._metric]))
        else:
            self._step()

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the scheduler and of the warm-up; the optimizer has the rate."""
        scheduler = self.scheduler.state_dict()
        return {"scheduler": scheduler, "steps": self._steps, "begun": self._begun}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take up what `state_dict` returned."""
        self.scheduler.load_state_dict(state_dict["scheduler"])
        self._steps, self._begun = state_dict["steps"], state_dict["begun"]

    def _warm_up(self) -> None:
        share = self._steps / (self._duration - 1)
        for group, peak in zip(self.scheduler.optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = self._start + share * (peak - self._start)

    def _step(self, *metric: float) -> None:
        with warnings.catch_warnings():
            # Torch expects an update before; with accumulated gradients there may be none yet.
            warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")
            self.scheduler.step(*metric)  # type: ignore[arg-type]


def _is_starting(engine: Engine) -> bool:
    starts = (Events.STARTED, Events.EPOCH_STARTED, Events.ITERATION_STARTED)
    return any(engine._listeners[event].is_firing for event in starts)
