"""Which class is taken for which, and what follows from that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from scaffold_runtime.metrics.accuracy import classes
from scaffold_runtime.metrics.metric import Metric, NotComputableError
from scaffold_runtime.metrics.metrics_lambda import MetricsLambda


class ConfusionMatrix(Metric):
    """
    How often samples of each class (rows) are predicted as each class (columns).

    `update` takes scores `(N, C, ...)` and class indices `(N, ...)`; targets outside
    0 to C - 1 do not count.

    >>> matrix = ConfusionMatrix(num_classes=2)
    >>> scores = torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]])
    >>> matrix.update((scores, torch.tensor([0, 1, 1])))
    >>> matrix.compute()
    tensor([[1, 0],
            [1, 1]])
    """

    state_attributes = ("_counts", "_samples")

    def __init__(
        self,
        num_classes: int,
        average: str | None = None,
        output_transform: Callable[[Any], Any] = lambda output: output,
        device: str | torch.device | None = None,
        skip_unrolling: bool = True,
        *,
        ignore_index: int | None = None,
    ) -> None:
        """
        Args:
            num_classes: C, at least 2.
            average: None for counts; "samples" for counts divided by N; "recall" for
                rows that add up to 1, "precision" for columns (or to 0 where empty).
            ignore_index: Targets of this class do not count.

        Raises:
            ValueError: `num_classes` or `average` is none of these.
        """
        if num_classes < 2:
            raise ValueError(f"num_classes must be at least 2, not {num_classes}")
        if average not in (None, "samples", "recall", "precision"):
            raise ValueError(
                f"average must be None, 'samples', 'recall' or 'precision', not {average!r}"
            )
        self.num_classes = num_classes
        self.average = average
        self._ignore_index = ignore_index
        super().__init__(output_transform, device, skip_unrolling)

    def reset(self) -> None:
        self._counts: Tensor | None = None  # Of C * C pairs, between two for targets outside.
        self._samples = 0

    def update(self, output: tuple[Tensor, Tensor]) -> None:
        """
        Raises:
            ValueError: The shapes do not fit, or there are not `num_classes` scores.
        """
        y_pred, y = output
        predicted = classes(y_pred, y)
        if y_pred.shape[1] != self.num_classes or y.is_floating_point():
            raise ValueError(
                f"give {self.num_classes} scores and whole numbers as targets, "
                f"not {y_pred.shape[1]} and {y.dtype}"
            )
        pairs = self.num_classes**2
        if self._ignore_index is not None:
            y = torch.where(y == self._ignore_index, -1, y.long())
        place = torch.add(predicted, y, alpha=self.num_classes).clamp_(-1, pairs).add_(1).flatten()
        place = self._keep(place)
        if self._counts is None:
            self._counts = torch.zeros(pairs + 2, dtype=torch.int64, device=place.device)
        elif self._counts.device != place.device:  # The state was loaded from a file.
            self._counts = self._counts.to(place.device)
        self._counts.index_add_(0, place, torch.ones_like(place))
        self._samples += len(y)

    def compute(self) -> Tensor:
        if self._counts is None:
            raise NotComputableError("ConfusionMatrix has no value: it has seen no sample")
        matrix = self._counts.cpu()[1:-1].view(self.num_classes, self.num_classes)
        if matrix.sum() == 0:
            raise NotComputableError("ConfusionMatrix has no value: no target is of its classes")
        if self.average == "samples":
            return matrix.double() / self._samples
        if self.average == "recall":
            return share(matrix, matrix.sum(dim=1, keepdim=True))
        if self.average == "precision":
            return share(matrix, matrix.sum(dim=0, keepdim=True))
        return matrix.clone()


def IoU(cm: ConfusionMatrix, ignore_index: int | None = None) -> MetricsLambda:
    """
    Make a metric of each class's intersection over union, shape `(C,)`; also `JaccardIndex`.

    Right / (predicted + actual - right), and 0 for a class that is in neither (Jaccard, 1901).

    Args:
        ignore_index: A class that is left out of the result.

    Raises:
        ValueError: The matrix is normalised by class, or has no such class.

    >>> matrix = ConfusionMatrix(num_classes=2)
    >>> iou = IoU(matrix)
    >>> iou.update((torch.eye(2)[[0, 1, 0]], torch.tensor([0, 1, 1])))
    >>> iou.compute()
    tensor([0.5000, 0.5000], dtype=torch.float64)
    """

    def compute(right: Tensor, predicted: Tensor, actual: Tensor) -> Tensor:
        return share(right, predicted + actual - right)

    return _of_each_class(cm, compute, ignore_index)


JaccardIndex = IoU


def mIoU(cm: ConfusionMatrix, ignore_index: int | None = None) -> MetricsLambda:
    """
    Make a metric of the mean of `IoU` over classes, which takes and raises the same.

    >>> iou = mIoU(ConfusionMatrix(num_classes=2))
    >>> iou.update((torch.eye(2)[[0, 1, 0]], torch.tensor([0, 1, 1])))
    >>> iou.compute()
    0.5
    """
    return IoU(cm, ignore_index).mean().item()  # type: ignore[no-any-return]


def DiceCoefficient(cm: ConfusionMatrix, ignore_index: int | None = None) -> MetricsLambda:
    """
    Make a metric of each class's 2 * right / (predicted + actual) (Dice, 1945), shape `(C,)`.

    It takes and raises what `IoU` does.

    >>> dice = DiceCoefficient(ConfusionMatrix(num_classes=2))
    >>> dice.update((torch.eye(2)[[0, 1, 0]], torch.tensor([0, 1, 1])))
    >>> dice.compute()
    tensor([0.6667, 0.6667], dtype=torch.float64)
    """

    def compute(right: Tensor, predicted: Tensor, actual: Tensor) -> Tensor:
        return share(2 * right, predicted + actual)

    return _of_each_class(cm, compute, ignore_index)


def cmAccuracy(cm: ConfusionMatrix) -> MetricsLambda:
    """
    Make a metric of the share of samples on the diagonal.

    >>> accuracy = cmAccuracy(ConfusionMatrix(num_classes=2))
    >>> accuracy.update((torch.eye(2)[[0, 1, 0, 0]], torch.tensor([0, 1, 1, 0])))
    >>> accuracy.compute()
    0.75
    """
    return MetricsLambda(lambda matrix: float(share(matrix.diagonal().sum(), matrix.sum())), cm)


def cmPrecision(cm: ConfusionMatrix, average: bool = True) -> MetricsLambda:
    """
    Make a metric of the precision of each class, or of their mean; as `Precision`.

    >>> precision = cmPrecision(ConfusionMatrix(num_classes=2))
    >>> precision.update((torch.eye(2)[[0, 1, 0]], torch.tensor([0, 1, 1])))
    >>> precision.compute()
    0.75
    """
    each = _of_each_class(cm, lambda right, predicted, actual: share(right, predicted))
    return each.mean().item() if average else each


def cmRecall(cm: ConfusionMatrix, average: bool = True) -> MetricsLambda:
    """
    Make a metric of the recall of each class, or of their mean; as `Recall`.

    >>> recall = cmRecall(ConfusionMatrix(num_classes=2), average=False)
    >>> recall.update((torch.eye(2)[[0, 1, 0]], torch.tensor([0, 1, 1])))
    >>> recall.compute()
    tensor([1.0000, 0.5000], dtype=torch.float64)
    """
    each = _of_each_class(cm, lambda right, predicted, actual: share(right, actual))
    return each.mean().item() if average else each


def _of_each_class(
    cm: ConfusionMatrix,
    compute: Callable[[Tensor, Tensor, Tensor], Tensor],
    ignore_index: int | None = None,
) -> MetricsLambda:
    if cm.average in ("recall", "precision"):
        raise ValueError(f"this needs counts: the matrix has average={cm.average!r}")
    if ignore_index is not None and not 0 <= ignore_index < cm.num_classes:
        raise ValueError(f"ignore_index={ignore_index} is none of {cm.num_classes} classes")
    shown = [index for index in range(cm.num_classes) if index != ignore_index]
    return MetricsLambda(
        lambda matrix: compute(matrix.diagonal(), matrix.sum(dim=0), matrix.sum(dim=1))[shown], cm
    )


def share(part: Tensor, whole: Tensor) -> Tensor:
    """Return `part / whole` in double, and 0 where that is 0 / 0."""
    return part.double() / torch.where(whole == 0, 1, whole)
