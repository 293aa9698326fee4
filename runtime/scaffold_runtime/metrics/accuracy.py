"""How many predictions are right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from scaffold_runtime.metrics.metric import Metric, NotComputableError


class Accuracy(Metric):
    """
    The share of predictions that are right, between 0 and 1.

    `update` takes `(y_pred, y)`, with any trailing dimensions:

    - classes: scores `(N, C, ...)`, of which the largest counts, and class
      indices `(N, ...)`;
    - binary: 0 or 1 in both, of equal shape `(N, ...)`, or predictions `(N, 1, ...)`;
    - several labels (`is_multilabel`): 0 or 1 in both, of equal shape
      `(N, C, ...)`; a sample is right when all its C labels are.

    >>> import torch
    >>> accuracy = Accuracy()
    >>> scores = torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]])
    >>> accuracy.update((scores, torch.tensor([0, 1, 1])))
    >>> round(accuracy.compute(), 3)
    0.667
    """

    state_attributes = ("_correct", "_count")

    def __init__(
        self,
        output_transform: Callable[[Any], Any] = lambda output: output,
        is_multilabel: bool = False,
        device: str | torch.device | None = None,
        skip_unrolling: bool = False,
        *,
        ignore_index: int | None = None,
    ) -> None:
        """
        Args:
            is_multilabel: Samples have several labels.
            ignore_index: Targets of this class do not count.

        Raises:
            ValueError: `ignore_index` together with `is_multilabel`.
        """
        if is_multilabel and ignore_index is not None:
            raise ValueError("ignore_index is a class, and several labels have none")
        self._is_multilabel = is_multilabel
        self._ignore_index = ignore_index
        super().__init__(output_transform, device, skip_unrolling)

    def reset(self) -> None:
        self._correct: Tensor | int = 0
        self._count: Tensor | int = 0

    def update(self, output: tuple[Tensor, Tensor]) -> None:
        """
        Raises:
            ValueError: The shapes fit none of the kinds above.
        """
        y_pred, y = output
        correct = self._compare(y_pred, y)
        if self._ignore_index is None:
            self._count = self._count + correct.numel()
        else:
            kept = y != self._ignore_index
            correct = correct & kept
            self._count = self._count + self._keep(torch.count_nonzero(kept))
        self._correct = self._correct + self._keep(torch.count_nonzero(correct))

    def compute(self) -> float:
        count = int(self._count)
        if count == 0:
            raise NotComputableError(f"{type(self).__name__} has no value: it has seen no sample")
        return int(self._correct) / count

    def _compare(self, y_pred: Tensor, y: Tensor) -> Tensor:
        if self._is_multilabel:
            return (labels_in_rows(y_pred, y_pred) == labels_in_rows(y, y_pred)).all(-1)
        if y_pred.ndim == y.ndim + 1 and y_pred.shape[1] == 1:
            y_pred = y_pred.squeeze(1)  # The largest of one score would always be class 0.
        return y_pred == y if y_pred.shape == y.shape else classes(y_pred, y) == y


class TopKCategoricalAccuracy(Accuracy):
    """
    The share of samples whose class is among the k with the largest scores.

    `update` takes scores `(N, C, ...)` and class indices `(N, ...)`. Also `TopKAccuracy`.

    >>> import torch
    >>> accuracy = TopKCategoricalAccuracy(k=2)
    >>> scores = torch.tensor([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]])
    >>> accuracy.update((scores, torch.tensor([1, 2])))
    >>> accuracy.compute()
    0.5
    """

    def __init__(
        self,
        k: int = 5,
        output_transform: Callable[[Any], Any] = lambda output: output,
        device: str | torch.device | None = None,
        skip_unrolling: bool = False,
        *,
        ignore_index: int | None = None,
    ) -> None:
        self._k = k
        super().__init__(output_transform, False, device, skip_unrolling, ignore_index=ignore_index)

    def _compare(self, y_pred: Tensor, y: Tensor) -> Tensor:
        check_classes(y_pred, y)
        if y_pred.shape[1] < self._k:
            raise ValueError(f"there are no {self._k} largest of {y_pred.shape[1]} scores")
        return (y_pred.topk(self._k, dim=1).indices == y.unsqueeze(1)).any(dim=1)


TopKAccuracy = TopKCategoricalAccuracy


def check_classes(y_pred: Tensor, y: Tensor) -> None:
    """Refuse what is not scores `(N, C, ...)` and class indices `(N, ...)`, with a ValueError."""
    if y_pred.ndim != y.ndim + 1 or y_pred.shape[:1] + y_pred.shape[2:] != y.shape:
        raise ValueError(
            f"predictions of shape {tuple(y_pred.shape)} do not fit targets of {tuple(y.shape)}: "
            "give scores (N, C, ...) and class indices (N, ...), or equal shapes"
        )


def classes(y_pred: Tensor, y: Tensor) -> Tensor:
    """Return the classes `(N, ...)` with the largest of the scores `(N, C, ...)`."""
    check_classes(y_pred, y)
    return y_pred.argmax(dim=1)


def labels_in_rows(labels: Tensor, like: Tensor) -> Tensor:
    """Return labels `(N, C, ...)` as `(N * ..., C)`, or raise ValueError if shapes differ."""
    if labels.ndim < 2 or labels.shape != like.shape:
        raise ValueError(
            f"labels of shape {tuple(labels.shape)} are not (N, C, ...) "
            f"like predictions of {tuple(like.shape)}"
        )
    return labels.movedim(1, -1).flatten(0, -2)
