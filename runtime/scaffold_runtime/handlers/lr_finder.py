"""Which learning rate to begin with."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch

from scaffold_runtime.checkpoints.parts import Stateful
from scaffold_runtime.engine import Engine
from scaffold_runtime.events import Events
from scaffold_runtime.seeding import random_state, set_random_state

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class LRFinder:
    """
    Train for a few iterations while the learning rate rises, and see what the loss does.

    The learning rate range test of Smith, "Cyclical Learning Rates for Training Neural
    Networks" (2017), with a rate that rises exponentially, as in fastai. It ends when
    the loss diverges, and reads the loss in each iteration. Afterwards everything in
    `to_save`, and all random numbers, are as they were.

    >>> from torch import nn
    >>> from scaffold_runtime import create_supervised_trainer
    >>> model, x = nn.Linear(4, 1), torch.randn(64, 4)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> trainer = create_supervised_trainer(model, optimizer, nn.functional.mse_loss)
    >>> finder = LRFinder()
    >>> finder.run(trainer, [(x, x.sum(1, keepdim=True))], optimizer, {"model": model})
    >>> 1e-3 < finder.lr_suggestion() < 1.0
    True
    >>> optimizer.param_groups[0]["lr"]
    0.1
    """

    def __init__(
        self,
        num_iter: int = 100,
        start_lr: float = 1e-7,
        end_lr: float = 10.0,
        smooth_f: float = 0.05,
        diverge_th: float = 5.0,
    ) -> None:
        """
        Args:
            num_iter: Iterations at most.
            start_lr: The first learning rate.
            end_lr: The last one.
            smooth_f: The share of the newest loss in the smoothed one.
            diverge_th: How many times its smallest value the smoothed loss may reach.

        Raises:
            ValueError: The rates do not rise from above 0, or a number makes no sense.
        """
        if num_iter < 3:
            raise ValueError(f"num_iter must be at least 3, not {num_iter}")
        if not 0.0 < start_lr < end_lr:
            raise ValueError(f"the rates must rise from above 0, not from {start_lr} to {end_lr}")
        if not 0.0 < smooth_f <= 1.0 or diverge_th <= 1.0:
            raise ValueError("smooth_f must be between 0 and 1, diverge_th above 1")
        self._num_iter, self._start, self._end = num_iter, start_lr, end_lr
        self._smooth, self._diverge = smooth_f, diverge_th
        self.lrs: list[float] = []
        self.losses: list[float] = []  # Smoothed.

    def run(
        self,
        trainer: Engine,
        data: Iterable[Any],
        optimizer: torch.optim.Optimizer,
        to_save: Mapping[str, Stateful],
        output_transform: Callable[[Any], Any] = lambda output: output,
    ) -> None:
        """
        Make the test with the trainer's step; none of the trainer's handlers runs.

        Args:
            trainer: Its step is made, by an engine of its own.
            data: Begun again when it ends before the test does.
            optimizer: All of its groups get the rate.
            to_save: What else the step changes, above all the model.
            output_transform: Makes the loss of what the step returned.
        """
        parts = {**to_save, "the optimizer": optimizer}
        if (updater := vars(trainer.state).get("updater")) is not None:
            parts["the updater"] = updater
        saved = {name: copy.deepcopy(part.state_dict()) for name, part in parts.items()}
        random = random_state()
        self.lrs, self.losses = [], []
        tester = Engine(trainer._process_function)
        tester.add_event_handler(Events.ITERATION_STARTED, self._set_lr, optimizer)
        tester.add_event_handler(Events.ITERATION_COMPLETED, self._look, output_transform)
        try:
            tester.run(data, max_iters=self._num_iter)
        finally:
            for name, part in parts.items():
                part.load_state_dict(saved[name])
            optimizer.zero_grad()
            set_random_state(random)

    def get_results(self) -> dict[str, list[float]]:
        """Return the rates and the smoothed losses."""
        return {"lr": list(self.lrs), "loss": list(self.losses)}

    def lr_suggestion(self) -> float:
        """
        Return the rate at which the smoothed loss fell most steeply.

        Raises:
            RuntimeError: The test has not run, or the loss never fell.
        """
        until = self.losses.index(min(self.losses)) + 1 if self.losses else 0
        if until < 3:
            raise RuntimeError("no rate can be suggested: the loss has not fallen in the test")
        slopes = torch.gradient(torch.tensor(self.losses[:until]))[0]
        return self.lrs[int(slopes.argmin())]

    def plot(self) -> Figure:
        """Plot the smoothed loss over the rate, with the suggestion, where there is one."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5.2, 3.6), layout="constrained")
        axes = figure.subplots()
        axes.plot(self.lrs, self.losses, color="#2563eb", lw=1.6)
        axes.set(xscale="log", xlabel="learning rate", ylabel="loss, smoothed")
        axes.grid(alpha=0.25)
        try:
            suggestion = self.lr_suggestion()
        except RuntimeError:
            return figure
        axes.axvline(suggestion, color="#d97706", ls="--", label=f"suggested: {suggestion:.2g}")
        axes.legend(frameon=False)
        return figure

    def _set_lr(self, engine: Engine, optimizer: torch.optim.Optimizer) -> None:
        share = (engine.state.iteration - 1) / (self._num_iter - 1)
        self._lr = self._start * (self._end / self._start) ** share
        for group in optimizer.param_groups:
            group["lr"] = self._lr

    def _look(self, engine: Engine, output_transform: Callable[[Any], Any]) -> None:
        loss = float(output_transform(engine.state.output))
        if self.losses:
            loss = self._smooth * loss + (1.0 - self._smooth) * self.losses[-1]
        if not math.isfinite(loss):
            engine.terminate()
            return
        self.lrs.append(self._lr)
        self.losses.append(loss)
        if loss > self._diverge * min(self.losses):
            engine.terminate()
