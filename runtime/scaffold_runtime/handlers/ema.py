"""An average of the weights over the last updates, which is often better than the newest."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from scaffold_runtime.engine import Engine
from scaffold_runtime.intervals import Interval, parse_interval
from scaffold_runtime.listeners import RemovableEventHandle


class EMA:
    """
    Keep an exponential moving average of a model's weights, in a model of its own.

    After each update `average = (1 - momentum) * average + momentum * weights`;
    buffers of floating point alike, others are copied. `ema_model` is the average.

    >>> model = nn.Linear(1, 1, bias=False)
    >>> def train_step(engine, batch):
    ...     nn.init.constant_(model.weight, batch)
    >>> trainer = Engine(train_step)
    >>> train_step(trainer, 0.0)
    >>> ema = EMA(model, momentum=0.5)
    >>> handle = ema.attach(trainer)
    >>> state = trainer.run([1.0, 2.0])
    >>> with ema.averaged():
    ...     print(model.weight.item())
    1.25
    >>> model.weight.item()
    2.0
    """

    def __init__(
        self,
        model: nn.Module,
        momentum: float = 0.0002,
        momentum_warmup: float | None = None,
        warmup_iters: int | None = None,
        *,
        mean_first: bool = False,
    ) -> None:
        """
        Args:
            model: Its weights are averaged, beginning with those it has now.
            momentum: The share of the newest weights, between 0 and 1.
            momentum_warmup: The momentum of the first update.
            warmup_iters: Updates in which it goes from there to `momentum`, evenly.
            mean_first: Begin as the plain mean of the weights after each update, until
                `1 / momentum` of them were seen: the first weights are forgotten.

        Raises:
            ValueError: A momentum is not between 0 and 1, or half of the warm-up is missing.
        """
        for each in (momentum, momentum if momentum_warmup is None else momentum_warmup):
            if not 0.0 < each < 1.0:
                raise ValueError(f"a momentum must be between 0 and 1, not {each}")
        if (momentum_warmup is None) != (warmup_iters is None) or warmup_iters == 0:
            raise ValueError("a warm-up needs momentum_warmup and warmup_iters, at least 1")
        self.model = model
        self.ema_model = copy.deepcopy(model).requires_grad_(False).eval()
        self._momentum = momentum
        self._mean_first = mean_first
        self._first = momentum if momentum_warmup is None else momentum_warmup
        self._warmup_iters = warmup_iters or 0
        self._updates = 0

    @property
    def momentum(self) -> float:
        """The share that the newest weights have in the next update."""
        if self._mean_first:
            return max(self._momentum, 1 / (self._updates + 1))
        if self._updates >= self._warmup_iters:
            return self._momentum
        share = self._updates / self._warmup_iters
        return self._first + share * (self._momentum - self._first)

    def attach(
        self, engine: Engine, every: str | int | Interval = "iteration"
    ) -> RemovableEventHandle:
        """Update after each of these intervals; see `parse_interval`."""
        return engine.add_event_handler(parse_interval(every).event(), self.update)

    @torch.no_grad()
    def update(self) -> None:
        """Take the model's weights into the average."""
        averages, values, copies, originals = [], [], [], []
        for average, value in self._pairs():
            if average.is_floating_point():
                averages.append(average)
                values.append(value)
            else:
                copies.append(average)
                originals.append(value)
        if averages:
            torch._foreach_lerp_(averages, values, self.momentum)
        if copies:
            torch._foreach_copy_(copies, originals)
        self._updates += 1

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Give the model the averaged weights for the length of a block, to evaluate or save it."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def state_dict(self) -> dict[str, Any]:
        """Return the averaged weights and how many updates they saw."""
        return {"model": self.ema_model.state_dict(), "updates": self._updates}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take up what `state_dict` returned."""
        self.ema_model.load_state_dict(state_dict["model"])
        self._updates = state_dict["updates"]

    @torch.no_grad()
    def _exchange(self) -> None:
        for average, value in self._pairs():
            kept = value.clone()
            value.copy_(average)
            average.copy_(kept)

    def _pairs(self) -> list[tuple[Tensor, Tensor]]:
        """Return each averaged tensor with the one it follows; what layers share once."""
        both = zip(_tensors(self.ema_model), _tensors(self.model), strict=True)
        return list({id(average): (average, value) for average, value in both}.values())


def _tensors(model: nn.Module) -> list[Tensor]:
    """
    Return the parameters and buffers of all layers.

    `nn.Module` makes the name of each as well, which takes longer than the average of a
    small model.
    """
    found: list[Tensor | None] = []
    layers: list[nn.Module | None] = [model]
    for layer in layers:  # Which grows meanwhile.
        if layer is not None:
            found += layer._parameters.values()
            found += layer._buffers.values()
            layers += layer._modules.values()
    return [tensor for tensor in found if tensor is not None]
