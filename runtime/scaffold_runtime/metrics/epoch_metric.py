"""A metric that needs every prediction at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from scaffold_runtime.metrics.metric import Metric, NotComputableError


class EpochMetric(Metric):
    """
    The value of a function of all predictions and all targets.

    `update` takes `(y_pred, y)`, each of shape `(N, ...)`. They are kept on their
    device, all of them, and joined along N for `compute_fn(y_pred, y)`.

    >>> largest_error = EpochMetric(lambda y_pred, y: (y_pred - y).abs().max())
    >>> largest_error.update((torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0])))
    >>> largest_error.update((torch.tensor([3.0]), torch.tensor([2.5])))
    >>> largest_error.compute()
    2.0
    """

    state_attributes = ("_predictions", "_targets")

    def __init__(
        self,
        compute_fn: Callable[[Tensor, Tensor], Any],
        output_transform: Callable[[Any], Any] = lambda output: output,
    ) -> None:
        self._compute_fn = compute_fn
        super().__init__(output_transform)

    def reset(self) -> None:
        self._predictions: list[Tensor] = []
        self._targets: list[Tensor] = []

    def update(self, output: tuple[Tensor, Tensor]) -> None:
        """
        Raises:
            ValueError: There are not as many targets as predictions.
        """
        y_pred, y = output
        if y_pred.shape[:1] != y.shape[:1] or y.ndim == 0:
            raise ValueError(
                f"predictions of shape {tuple(y_pred.shape)} do not fit targets of {tuple(y.shape)}"
            )
        # Copies: the step may write the next batch's into the same memory.
        self._predictions.append(y_pred.detach().clone())
        self._targets.append(y.detach().clone())

    def compute(self) -> Any:
        if not any(len(targets) for targets in self._targets):
            raise NotComputableError(f"{type(self).__name__} has no value: it has seen no sample")
        device = self._targets[-1].device  # Those loaded from a file may be on another.
        y_pred = torch.cat([batch.to(device) for batch in self._predictions])
        y = torch.cat([batch.to(device) for batch in self._targets])
        value = self._compute_fn(y_pred, y)
        return value.item() if isinstance(value, Tensor) and value.ndim == 0 else value
