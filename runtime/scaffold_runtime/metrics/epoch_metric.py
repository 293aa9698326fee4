"""A metric that needs every prediction at once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from scaffold_runtime.metrics.metric import Metric, NotComputableError

logger = logging.getLogger(__name__)


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
        check_compute_fn: bool = False,
        device: str | torch.device | None = None,
        skip_unrolling: bool = False,
    ) -> None:
        """
        Args:
            compute_fn: Takes all predictions and all targets.
            output_transform: Makes the pair of what the engine's step returned.
            check_compute_fn: Call it with the first batch as well, and warn if it fails.
            device: Where predictions and targets are kept: "cpu" spares the GPU's memory.
            skip_unrolling: As in `Metric`.
        """
        self._compute_fn = compute_fn
        self._check_compute_fn = check_compute_fn
        super().__init__(output_transform, device, skip_unrolling)

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
        self._predictions.append(self._keep(y_pred.detach()).clone())
        self._targets.append(self._keep(y.detach()).clone())
        if self._check_compute_fn and len(self._targets) == 1:
            self._try_compute_fn()

    def _try_compute_fn(self) -> None:
        try:
            self._compute_fn(self._predictions[0], self._targets[0])
        except Exception as error:
            logger.warning("compute_fn fails on the first batch: %s", error)

    def compute(self) -> Any:
        if not any(len(targets) for targets in self._targets):
            raise NotComputableError(f"{type(self).__name__} has no value: it has seen no sample")
        device = self._targets[-1].device  # Those loaded from a file may be on another.
        y_pred = torch.cat([batch.to(device) for batch in self._predictions])
        y = torch.cat([batch.to(device) for batch in self._targets])
        value = self._compute_fn(y_pred, y)
        return value.item() if isinstance(value, Tensor) and value.ndim == 0 else value
