"""How well scores put positives before negatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from scaffold_runtime.metrics.epoch_metric import EpochMetric
from scaffold_runtime.metrics.metric import NotComputableError
from scaffold_runtime.metrics.sums import sum_dtype


class ROC_AUC(EpochMetric):
    """
    The area under the curve of true over false positive rates; of several labels, their mean.

    It is the share of pairs of a positive and a negative in which the positive has the
    larger score, ties counting half (Hanley and McNeil, 1982). `update` takes scores and
    targets of 0 or 1, both `(N,)` or, with L labels, `(N, L)`. `compute` raises
    `NotComputableError` when all targets of a label are alike, `ValueError` for a NaN.

    >>> area = ROC_AUC()
    >>> area.update((torch.tensor([0.1, 0.4, 0.4, 0.8]), torch.tensor([0, 0, 1, 1])))
    >>> area.compute()
    0.875
    """

    def __init__(
        self,
        output_transform: Callable[[Any], Any] = lambda output: output,
        check_compute_fn: bool = False,
        device: str | torch.device | None = None,
        skip_unrolling: bool = False,
    ) -> None:
        super().__init__(_roc_auc, output_transform, check_compute_fn, device, skip_unrolling)


class AveragePrecision(EpochMetric):
    """
    The mean over positives of the precision at each one's score; of several labels, their mean.

    That is the sum over thresholds of (recall - recall before) * precision, without
    interpolation. A label without positives has 0 (as in scikit-learn). `update` takes
    scores and targets of 0 or 1, both `(N,)` or, with L labels, `(N, L)`.

    >>> precision = AveragePrecision()
    >>> precision.update((torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([0, 0, 1, 1])))
    >>> round(precision.compute(), 4)
    0.8333
    """

    def __init__(
        self,
        output_transform: Callable[[Any], Any] = lambda output: output,
        check_compute_fn: bool = False,
        device: str | torch.device | None = None,
        skip_unrolling: bool = False,
    ) -> None:
        super().__init__(
            _average_precision, output_transform, check_compute_fn, device, skip_unrolling
        )


def _roc_auc(scores: Tensor, targets: Tensor) -> float:
    scores, targets, ranked = _in_rows(scores, targets)
    below = torch.searchsorted(ranked, scores)
    not_above = torch.searchsorted(ranked, scores, right=True)
    positives = targets.sum(dim=1)
    # Against all; among themselves, positives win half of their pairs, which are taken off.
    twice_won = ((below + not_above) * targets).sum(dim=1) - positives**2
    areas: list[float] = []
    for won, positive, nans in _read(twice_won, positives, scores.isnan().sum(dim=1)):
        pairs = positive * (scores.shape[1] - positive)
        _check_nan(nans)
        if pairs == 0:
            raise NotComputableError("ROC_AUC has no value: all targets of a label are alike")
        areas.append(won / 2 / pairs)
    return sum(areas) / len(areas)


def _average_precision(scores: Tensor, targets: Tensor) -> float:
    scores, targets, ranked = _in_rows(scores, targets)
    below = torch.searchsorted(ranked, scores)
    positives = targets.sum(dim=1)
    in_order = targets.gather(1, scores.argsort(dim=1)).cumsum(dim=1)
    positives_below = torch.nn.functional.pad(in_order, (1, 0)).gather(1, below)
    found = positives.unsqueeze(1) - positives_below
    precisions = targets * found.to(sum_dtype(found.device)) / (scores.shape[1] - below)
    means: list[float] = []
    for total, positive, nans in _read(precisions.sum(dim=1), positives, scores.isnan().sum(dim=1)):
        _check_nan(nans)
        means.append(total / max(positive, 1))
    return sum(means) / len(means)


def _in_rows(scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return scores, targets and sorted scores with a row for each label."""
    scores, targets = (each.unsqueeze(1) if each.ndim == 1 else each for each in (scores, targets))
    if scores.shape != targets.shape or scores.ndim != 2:
        raise ValueError(
            f"scores of shape {tuple(scores.shape)} do not fit targets of {tuple(targets.shape)}: "
            "give (N,) or (N, L) for both"
        )
    scores = scores.T.contiguous()
    return scores, targets.T.long().contiguous(), scores.sort(dim=1).values


def _read(*columns: Tensor) -> list[list[Any]]:
    """Read one number of each kind for each label, waiting for the device once."""
    rows: list[list[Any]] = torch.stack(columns, dim=1).tolist()
    return rows


def _check_nan(nans: float) -> None:
    if nans:
        raise ValueError(f"{nans:.0f} scores are NaN, which has no rank")
