"""How far predictions are from their targets."""

from __future__ import annotations

import math
from abc import abstractmethod

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
        y_pred, y = _fitting(*output)
        difference = y_pred - y
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
        return math.sqrt(super().compute())


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


class R2Score(Metric):
    """
    The share of the targets' variance that predictions explain, the coefficient of determination.

    `1 - sum((y - y_pred)^2) / sum((y - mean(y))^2)`: 1 is perfect, 0 no better than
    the mean of the targets, and NaN where these are all equal. `update` takes `(y_pred, y)`
    of equal shape; all their numbers count alike.

    >>> score = R2Score()
    >>> score.update((torch.tensor([1.0, 2.0, 4.0]), torch.tensor([1.0, 2.0, 3.0])))
    >>> score.compute()
    0.5
    """

    state_attributes = ("_errors", "_mean", "_deviations", "_count")

    def reset(self) -> None:
        self._errors: Tensor | float = 0.0  # The sum of squared errors.
        self._mean: Tensor | float = 0.0  # Of the targets so far,
        self._deviations: Tensor | float = 0.0  # and the sum of their squared distances from it.
        self._count = 0

    def update(self, output: tuple[Tensor, Tensor]) -> None:
        """
        Raises:
            ValueError: The shapes differ, by more than a last dimension of 1.
        """
        y_pred, y = _fitting(*output)
        if y.numel() == 0:
            return
        y_pred, y = (values.to(sum_dtype(y.device)) for values in (y_pred, y))
        errors, mean = (y_pred - y).square().sum(), y.mean()
        deviations = self._keep((y - mean).square().sum())
        # Means and deviations of both parts together: Chan, Golub and LeVeque, "Updating
        # Formulae and a Pairwise Algorithm for Computing Sample Variances" (1979), eq. 2.1.
        share = y.numel() / (self._count + y.numel())
        step = self._keep(mean) - add_up(self._mean, torch.zeros_like(deviations))
        deviations = deviations + step * step * (share * self._count)
        self._mean = add_up(self._mean, step * share)
        self._deviations = add_up(self._deviations, deviations)
        self._errors = add_up(self._errors, self._keep(errors))
        self._count += y.numel()

    def compute(self) -> float:
        if self._count == 0:
            raise NotComputableError("R2Score has no value: it has seen no sample")
        deviations = float(self._deviations)
        return 1.0 - float(self._errors) / deviations if deviations > 0.0 else math.nan


def _fitting(y_pred: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return predictions and targets of one shape, both exact."""
    if y_pred.shape != y.shape or y.ndim == 0:
        fewer, more = sorted((tuple(y_pred.shape), tuple(y.shape)), key=len)
        if not fewer or (*fewer, 1) != more:
            raise ValueError(
                f"predictions of shape {tuple(y_pred.shape)} do not fit targets of {tuple(y.shape)}"
            )
        y = y.reshape(y_pred.shape)
    return _exact(y_pred.detach()), _exact(y.detach())


def _exact(values: Tensor) -> Tensor:
    """Return whole numbers, which could overflow, and half precision in the widest type."""
    is_exact = values.dtype in (torch.float32, torch.float64)
    return values if is_exact else values.to(sum_dtype(values.device))
