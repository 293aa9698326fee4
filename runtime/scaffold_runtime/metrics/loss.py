"""The mean of a loss over all samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from scaffold_runtime.metrics.metric import Metric, NotComputableError
from scaffold_runtime.metrics.sums import add_up


class Loss(Metric):
    """
    The mean of a loss function over all samples, batches of any sizes weighted rightly.

    `update` takes `(y_pred, y)`, or `(y_pred, y, kwargs)` with arguments for the
    loss function, which must return the mean over its batch. In an output that is a
    mapping these are `criterion_kwargs`.

    >>> import torch
    >>> loss = Loss(torch.nn.functional.mse_loss)
    >>> loss.update((torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0])))
    >>> loss.compute()
    2.0
    """

    state_attributes = ("_sum", "_count")

    def __init__(
        self,
        loss_fn: Callable[..., Tensor],
        output_transform: Callable[[Any], Any] = lambda output: output,
        batch_size: Callable[[Any], int] = len,
        device: str | torch.device | None = None,
        skip_unrolling: bool = False,
    ) -> None:
        """
        Args:
            loss_fn: Takes predictions and targets, returns the batch's mean.
            output_transform: Makes the pair of what the engine's step returned.
            batch_size: Says how many samples the targets are.
            device: Where the sum is kept, as in `Metric`.
            skip_unrolling: For models with several outputs, as in `Metric`.
        """
        self._loss_fn = loss_fn
        self._batch_size = batch_size
        super().__init__(output_transform, device, skip_unrolling)

    def _take_up(self, output: Any) -> None:
        if isinstance(output, Mapping) and "criterion_kwargs" in output:
            output = output["y_pred"], output["y"], output["criterion_kwargs"]
        super()._take_up(output)

    def reset(self) -> None:
        self._sum: Tensor | float = 0.0
        self._count = 0

    def update(self, output: tuple[Any, Any] | tuple[Any, Any, dict[str, Any]]) -> None:
        """
        Raises:
            ValueError: The loss is not one number.
        """
        y_pred, y, *kwargs = output
        with torch.no_grad():
            loss = self._loss_fn(y_pred, y, **(kwargs[0] if kwargs else {}))
        if loss.numel() != 1:
            raise ValueError(f"the loss must be one number, not of shape {tuple(loss.shape)}")
        count = self._batch_size(y)
        self._sum = add_up(self._sum, self._keep(loss), count)
        self._count += count

    def compute(self) -> float:
        if self._count == 0:
            raise NotComputableError("Loss has no value: it has seen no sample")
        return float(self._sum) / self._count
