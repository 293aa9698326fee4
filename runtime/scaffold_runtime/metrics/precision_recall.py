"""How many of those found are right, and how many of the right ones are found."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from scaffold_runtime.metrics.accuracy import classes, labels_in_rows
from scaffold_runtime.metrics.metric import Metric, NotComputableError
from scaffold_runtime.metrics.metrics_lambda import MetricsLambda
from scaffold_runtime.metrics.sums import add_up, sum_dtype

AVERAGES = (False, None, True, "macro", "micro", "weighted", "samples")


class _OfCounts(Metric):
    """A ratio of how many of each class were right, were predicted, and are there."""

    state_attributes = ("_counts", "_sum_over_samples", "_samples", "_is_binary")
    _positive_alone: tuple[Any, ...] = (False,)  # Averages that mean the class 1, if binary.

    def __init__(
        self,
        output_transform: Callable[[Any], Any] = lambda output: output,
        average: bool | str | None = False,
        is_multilabel: bool = False,
        device: str | torch.device | None = None,
        skip_unrolling: bool = False,
        *,
        ignore_index: int | None = None,
    ) -> None:
        """
        Args:
            average: False for a tensor with a value for each class, in the binary case
                the value of class 1; None for the tensor always; "macro" or True for
                its mean; "weighted" for its mean by the size of the classes; "micro"
                for all classes counted together; "samples" for the mean over samples,
                of several labels only.
            is_multilabel: Samples have several labels.
            ignore_index: Targets of this class do not count.

        Raises:
            ValueError: There is no such average, or not for these.
        """
        if average not in AVERAGES:
            raise ValueError(f"average must be one of {AVERAGES}, not {average!r}")
        if average == "samples" and not is_multilabel:
            raise ValueError("the average over samples is of several labels: is_multilabel=True")
        if is_multilabel and ignore_index is not None:
            raise ValueError("ignore_index is a class, and several labels have none")
        self._average = average
        self._is_multilabel = is_multilabel
        self._ignore_index = ignore_index
        super().__init__(output_transform, device, skip_unrolling)

    @abstractmethod
    def _ratio(self, right: Tensor, predicted: Tensor, actual: Tensor) -> Tensor:
        """Return the value of each class, and 0 where nothing is divided by nothing."""

    def reset(self) -> None:
        self._counts: list[Tensor] = []  # Right, predicted, actual, each of shape (C,).
        self._sum_over_samples: Tensor | float = 0.0
        self._samples = 0
        self._is_binary = False

    def update(self, output: tuple[Tensor, Tensor]) -> None:
        """
        Raises:
            ValueError: The shapes do not fit each other, or those before.
            IndexError: A target is no class. (CUDA's assertion is a RuntimeError.)
        """
        y_pred, y = self._keep(output[0]), self._keep(output[1])
        if self._is_multilabel:
            self._count_labels(labels_in_rows(y_pred, y_pred), labels_in_rows(y, y_pred))
        elif y_pred.shape == y.shape:
            self._is_binary = True
            self._count_classes(y_pred.long().flatten(), y.long().flatten(), 2)
        else:
            predicted = classes(y_pred, y)
            self._count_classes(predicted.flatten(), y.long().flatten(), y_pred.shape[1])

    def _count_classes(self, y_pred: Tensor, y: Tensor, number: int) -> None:
        if self._ignore_index is None:
            counted = torch.ones_like(y)
        else:
            kept = y != self._ignore_index
            counted, y = kept.long(), torch.where(kept, y, 0)
        self._samples += len(y)
        right, predicted, actual = self._counts_of(number, y.device)
        right.index_add_(0, y, (y_pred == y) * counted)
        predicted.index_add_(0, y_pred, counted)
        actual.index_add_(0, y, counted)

    def _count_labels(self, y_pred: Tensor, y: Tensor) -> None:
        self._samples += len(y)
        predicted, actual = y_pred == 1, y == 1
        found = torch.stack([predicted & actual, predicted, actual])
        for count, more in zip(
            self._counts_of(y.shape[1], y.device), found.sum(dim=1).unbind(), strict=True
        ):
            count.add_(more)
        if self._average == "samples":
            of_samples = self._ratio(*found.sum(dim=2).unbind())
            self._sum_over_samples = add_up(self._sum_over_samples, of_samples.sum())

    def _counts_of(self, number: int, device: torch.device) -> list[Tensor]:
        if not self._counts:
            self._counts = [torch.zeros(number, dtype=torch.int64, device=device) for _ in range(3)]
        if len(self._counts[0]) != number:
            raise ValueError(f"there were {len(self._counts[0])} classes so far, now {number}")
        if self._counts[0].device != device:  # The state was loaded from a file.
            self._counts = [count.to(device) for count in self._counts]
        return self._counts

    def compute(self) -> Tensor | float:
        if self._samples == 0:
            raise NotComputableError(f"{type(self).__name__} has no value: it has seen no sample")
        if self._average == "samples":
            return float(self._sum_over_samples) / self._samples
        right, predicted, actual = torch.stack(self._counts).cpu()
        if not self._is_multilabel and actual.sum() == 0:
            raise NotComputableError(f"{type(self).__name__} has no value: it ignored every sample")
        if self._average == "micro":
            return float(self._ratio(right.sum(), predicted.sum(), actual.sum()))
        each = self._ratio(right, predicted, actual)
        if self._is_binary and any(self._average is this for this in self._positive_alone):
            return float(each[1])
        if self._average == "weighted":
            return float((each * actual).sum() / actual.sum().clamp(min=1))
        return float(each.mean()) if self._average else each


class Precision(_OfCounts):
    """
    The share of those predicted to be of a class that are.

    `update` takes what `Accuracy` takes. A class that was never predicted has 0
    (as scikit-learn with `zero_division=0`).

    >>> precision = Precision()
    >>> precision.update((torch.tensor([1, 1, 0, 1]), torch.tensor([1, 0, 0, 1])))
    >>> round(precision.compute(), 3)
    0.667
    """

    def _ratio(self, right: Tensor, predicted: Tensor, actual: Tensor) -> Tensor:
        return right.to(sum_dtype(right.device)) / predicted.clamp(min=1)


class Recall(_OfCounts):
    """
    The share of those of a class that are predicted to be.

    `update` takes what `Accuracy` takes. A class of which there is none has 0
    (as scikit-learn with `zero_division=0`).

    >>> recall = Recall(average=None)
    >>> recall.update((torch.tensor([1, 1, 0, 1]), torch.tensor([1, 0, 0, 1])))
    >>> recall.compute()
    tensor([0.5000, 1.0000], dtype=torch.float64)
    """

    def _ratio(self, right: Tensor, predicted: Tensor, actual: Tensor) -> Tensor:
        return right.to(sum_dtype(right.device)) / actual.clamp(min=1)


class FBeta(_OfCounts):
    """
    The harmonic mean of precision and recall, recall weighted `beta` times as much.

    `(1 + beta²) · right / (beta² · actual + predicted)` (van Rijsbergen, Information
    Retrieval, 1979), and 0 where that is 0 / 0. By default, as in Ignite, it is the mean
    over classes, in the binary case the value of class 1.

    >>> f1 = FBeta(beta=1.0)
    >>> f1.update((torch.tensor([1, 1, 0, 1]), torch.tensor([1, 0, 0, 1])))
    >>> f1.compute()
    0.8
    """

    _positive_alone = (False, True)

    def __init__(
        self,
        beta: float,
        average: bool | str | None = True,
        output_transform: Callable[[Any], Any] = lambda output: output,
        is_multilabel: bool = False,
        device: str | torch.device | None = None,
        skip_unrolling: bool = False,
        *,
        ignore_index: int | None = None,
    ) -> None:
        if beta <= 0:
            raise ValueError(f"beta must be positive, not {beta}")
        self._square = beta**2
        super().__init__(
            output_transform,
            average,
            is_multilabel,
            device,
            skip_unrolling,
            ignore_index=ignore_index,
        )

    def _ratio(self, right: Tensor, predicted: Tensor, actual: Tensor) -> Tensor:
        total = self._square * actual.to(sum_dtype(actual.device)) + predicted
        return (1 + self._square) * right / torch.where(total == 0, 1.0, total)


def Fbeta(
    beta: float,
    average: bool = True,
    precision: Precision | None = None,
    recall: Recall | None = None,
    output_transform: Callable[[Any], Any] = lambda output: output,
    device: str | torch.device | None = None,
) -> Metric:
    """
    Make an `FBeta`, or the same of a precision and a recall at hand; Ignite's way to write it.

    Args:
        precision: With `average=False`, or made here.
        recall: With `average=False`, or made here.
        output_transform: For what is made here, like `device`.

    Raises:
        ValueError: One of the two is an average already.

    >>> precision, recall = Precision(), Recall()
    >>> f1 = Fbeta(1.0, precision=precision, recall=recall)
    >>> f1.update((torch.tensor([1, 1, 0, 1]), torch.tensor([1, 0, 0, 1])))
    >>> round(f1.compute(), 3)
    0.8
    """
    if precision is None and recall is None:
        return FBeta(beta, average, output_transform, device=device)
    precision = precision or Precision(output_transform, device=device)
    recall = recall or Recall(output_transform, device=device)
    for given in (precision, recall):
        if given._average:
            raise ValueError(f"{type(given).__name__} must have average=False for Fbeta")
    return MetricsLambda(partial(_combine, beta**2, average), precision, recall)


def _combine(
    square: float, average: bool, precision: Tensor | float, recall: Tensor | float
) -> Tensor | float:
    found, right = torch.as_tensor(precision), torch.as_tensor(recall)
    total = square * found + right
    values = (1 + square) * found * right / torch.where(total == 0, 1.0, total)
    return float(values.mean()) if average or values.ndim == 0 else values
