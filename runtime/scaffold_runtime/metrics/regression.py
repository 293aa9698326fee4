"""How far predictions are from their targets."""

from __future__ import annotations

from abc import abstractmethod
from math import sqrt

import torch
from torch import Tensor

from scaffold_runtime.metrics.metric import Metric, NotComputableError
from scaffold_runtime.metrics.sums import add_up, sum_dtype


class _MeanOfDistances(Metric):
    state_attributes = ("_sum", "_count")

    @abstractmethod
    def _distance(self, difference: Tensor) -> Tensor:
        """Return how far each prediction is off."""

    def reset(self) -> None:
        self._sum: Tensor | float = 0.0
        self._count = 0

    def update(self, output: tuple[Tensor, Tensor]) -> None:
        """
        Raises:
            ValueError: The shapes differ, by more than a last dimension of 1.
        """
        y_pred, y = output
        if y_pred.shape != y.shape or y.ndim == 0:
            fewer, more = sorted((tuple(y_pred.shape), tuple(y.shape)), key=len)
            if not fewer or (*fewer, 1) != more:
                raise ValueError(
                    f"predictions of shape {tuple(y_pred.shape)} "
                    f"do not fit targets of {tuple(y.shape)}"
                )
            y = y.reshape(y_pred.shape)
        difference = _exact(y_pred.detach()) - _exact(y.detach())
        distances = self._distance(difference)
        total = distances.sum(dtype=sum_dtype(distances.device))
        self._sum = add_up(self._sum, self._keep(total))
        self._count += len(y)

    def compute(self) -> float:
        if self._count == 0:
            raise NotComputableError(f"{type(self).__name__} has no value: it has seen no sample")
        return float(self._sum) / self._count


class MeanSquaredError(_MeanOfDistances):
    """
    The mean over samples of the squared distance between prediction and target.

    `update` takes `(y_pred, y)` of equal shape `(N, ...)`. As in Ignite, what a sample
    has in its other dimensions is added up, and the sum is divided by N alone.

    >>> error = MeanSquaredError()
    >>> error.update((torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0])))
    >>> error.compute()
    2.0
    """

    def _distance(self, difference: Tensor) -> Tensor:
        return difference * difference


class RootMeanSquaredError(MeanSquaredError):
    """
    The square root of `MeanSquaredError`, which takes and raises the same.

    >>> error = RootMeanSquaredError()
    >>> error.update((torch.tensor([1.0, 2.0]), torch.tensor([5.0, 6.0])))
    >>> error.compute()
    4.0
    """

    def compute(self) -> float:
        return sqrt(super().compute())


class MeanAbsoluteError(_MeanOfDistances):
    """
    The mean over samples of the absolute difference, which takes what `MeanSquaredError` does.

    >>> error = MeanAbsoluteError()
    >>> error.update((torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0])))
    >>> error.compute()
    1.0
    """

    def _distance(self, difference: Tensor) -> Tensor:
        return difference.abs()


def _exact(values: Tensor) -> Tensor:
    """Return whole numbers, which could overflow, and half precision in the widest type."""
    is_exact = values.dtype in (torch.float32, torch.float64)
    return values if is_exact else values.to(sum_dtype(values.device))
