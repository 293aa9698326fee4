"""From losses to updates of the weights: accumulate, scale, clip, step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from scaffold_runtime.engine import Engine
from scaffold_runtime.events import Events
from scaffold_runtime.listeners import RemovableEventHandle


class Updater:
    """
    Update weights once for every few batches, with gradients scaled and clipped.

    The gradient of an update is the mean over the batches of its window, also of the
    last, shorter window of an epoch, which is applied and not dropped. Gradients stay
    until the next window begins, so handlers can look at them.

    >>> model = nn.Linear(1, 1)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> updater = Updater(optimizer, gradient_accumulation_steps=2)
    >>> def train_step(engine, batch):
    ...     loss = model(batch).square().mean()
    ...     updater.backward(loss)
    ...     return updater.step(engine)
    >>> trainer = Engine(train_step)
    >>> handle = updater.attach(trainer)
    >>> handle = trainer.add_event_handler(
    ...     Events.ITERATION_COMPLETED, lambda engine: print(engine.state.output)
    ... )
    >>> state = trainer.run([torch.ones(4, 1)] * 3)
    False
    True
    True
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_accumulation_steps: int = 1,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: Literal["norm", "value"] = "norm",
        scaler: torch.amp.GradScaler | None = None,
    ) -> None:
        """
        Args:
            optimizer: Updates the weights.
            gradient_accumulation_steps: Batches for one update.
            gradient_clip_val: The largest norm of all gradients together, or the
                largest value of each; by default they are left as they are.
            gradient_clip_algorithm: Which of the two it is.
            scaler: Keeps gradients of float16 from vanishing. It reads from the
                device in each update whether there was an overflow.

        Raises:
            ValueError: A number is not positive, or the algorithm is none of the two.
        """
        if gradient_accumulation_steps < 1:
            raise ValueError(
                f"gradient_accumulation_steps must be at least 1, not {gradient_accumulation_steps}"
            )
        if gradient_clip_val is not None and not gradient_clip_val > 0.0:
            raise ValueError(f"gradient_clip_val must be positive, not {gradient_clip_val}")
        if gradient_clip_algorithm not in ("norm", "value"):
            raise ValueError(
                f"gradient_clip_algorithm is 'norm' or 'value', not {gradient_clip_algorithm!r}"
            )
        self.optimizer = optimizer
        self.scaler = scaler
        self._window = gradient_accumulation_steps
        self._clip_val = gradient_clip_val
        self._clip = self._clip_norm if gradient_clip_algorithm == "norm" else self._clip_value
        self._batches = 0  # Of the window at hand, as far as `step` has counted them.
        self._is_empty = True  # No gradient of the window at hand is there yet.

    def attach(self, engine: Engine) -> RemovableEventHandle:
        """Apply what is left at the end of an epoch whose length is not known before."""
        return engine.add_event_handler(Events.EPOCH_COMPLETED, self.flush)

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of a loss to the window; a batch may have several losses."""
        if self._is_empty:
            self.optimizer.zero_grad()
            self._is_empty = False
        if self._window > 1:
            loss = loss / self._window
        if self.scaler is not None:
            loss = self.scaler.scale(loss)
        loss.backward()  # type: ignore[no-untyped-call]

    def step(self, engine: Engine | None = None) -> bool:
        """
        End a batch and, when its window is full, update the weights.

        Args:
            engine: Tells which batch is the last of an epoch or run, and gets the
                norm before clipping into `state.metrics["gradient_norm"]`, a tensor.

        Returns:
            Whether the weights were updated: not if the window is not full, nor if a
            scaled gradient overflowed. Step schedules and averages only then.
        """
        self._batches += 1
        if self._batches < self._window and not _is_last(engine):
            return False
        return self.flush(engine)

    def flush(self, engine: Engine | None = None) -> bool:
        """Update the weights with the batches that wait, if there are any; say whether it did."""
        if self._batches == 0:
            return False
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        if self._batches < self._window:
            _multiply(self._parameters(), self._window / self._batches)
        if self._clip_val is not None:
            self._clip(self._clip_val, engine)
        self._batches, self._is_empty = 0, True
        if self.scaler is None:
            self.optimizer.step()
            return True
        scale = self.scaler.get_scale()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return self.scaler.get_scale() >= scale  # An overflow lowers it.

    def state_dict(self) -> dict[str, Any]:
        """Return the place in the window, the gradients added so far, and the scaler's state."""
        parameters = [] if self._is_empty else self._parameters()
        scaler = None if self.scaler is None else self.scaler.state_dict()
        return {
            "batches": self._batches,
            "gradients": [None if each.grad is None else each.grad.clone() for each in parameters],
            "scaler": scaler,
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take up what `state_dict` returned; the gradients go to the optimizer's parameters."""
        gradients = state_dict.get("gradients", [])
        self._batches = state_dict["batches"]
        self._is_empty = not gradients
        self.optimizer.zero_grad()
        for parameter, gradient in zip(self._parameters(), gradients, strict=bool(gradients)):
            parameter.grad = None if gradient is None else gradient.to(parameter.device).clone()
        if self.scaler is not None and state_dict["scaler"]:
            self.scaler.load_state_dict(state_dict["scaler"])

    def _clip_norm(self, largest: float, engine: Engine | None) -> None:
        norm = nn.utils.clip_grad_norm_(self._parameters(), largest)
        if engine is not None:
            engine.state.metrics["gradient_norm"] = norm

    def _clip_value(self, largest: float, engine: Engine | None) -> None:
        nn.utils.clip_grad_value_(self._parameters(), largest)

    def _parameters(self) -> list[Tensor]:
        groups = self.optimizer.param_groups
        return [parameter for group in groups for parameter in group["params"]]


def _is_last(engine: Engine | None) -> bool:
    return engine is not None and engine.state.iteration >= engine._last_iteration()


def _multiply(parameters: list[Tensor], factor: float) -> None:
    gradients = [each.grad for each in parameters if each.grad is not None]
    if gradients:
        torch._foreach_mul_(gradients, factor)
