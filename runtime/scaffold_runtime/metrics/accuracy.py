"""How many predictions are right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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

    def __init__(
        self,
        output_transform: Callable[[Any], Any] = lambda output: output,
        is_multilabel: bool = False,
    ) -> None:
        self._is_multilabel = is_multilabel
        super().__init__(output_transform)

    def reset(self) -> None:
        self._correct: Tensor | int = 0
        self._count = 0

    def update(self, output: tuple[Tensor, Tensor]) -> None:
        """
        Raises:
            ValueError: The shapes fit none of the kinds above.
        """
        y_pred, y = output
        correct = self._compare(y_pred.detach(), y.detach())
        self._correct = self._correct + correct.sum()
        self._count += correct.numel()

    def compute(self) -> float:
        if self._count == 0:
            raise NotComputableError("Accuracy has no value: it has seen no sample")
        return float(self._correct) / self._count

    def _compare(self, y_pred: Tensor, y: Tensor) -> Tensor:
        if y_pred.ndim == y.ndim + 1 and y_pred.shape[1] == 1 and not self._is_multilabel:
            y_pred = y_pred.squeeze(1)  # The largest of one score would always be class 0.
        if self._is_multilabel and y.ndim < 2:
            raise ValueError(f"labels of shape {tuple(y.shape)} are not (N, C, ...)")
        if y_pred.shape == y.shape:
            right = y_pred == y
            return right.movedim(1, -1).flatten(0, -2).all(-1) if self._is_multilabel else right
        has_scores = y_pred.ndim == y.ndim + 1 and not self._is_multilabel
        if has_scores and y_pred.shape[:1] + y_pred.shape[2:] == y.shape:
            return y_pred.argmax(dim=1) == y
        raise ValueError(
            f"predictions of shape {tuple(y_pred.shape)} do not fit targets of {tuple(y.shape)}: "
            "give (N, C, ...) and (N, ...), or equal shapes"
        )
