"""Outputs that are lists of samples, not batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from numbers import Number
from typing import Any

import torch
from torch import Tensor

LISTS = (list, tuple)
ITEMS = (Tensor, Number)


def are_samples(output: Any) -> bool:
    """Say whether all parts of an output are lists of tensors or numbers, and not tensors."""
    if not isinstance(output, LISTS) or not output or not isinstance(output[0], LISTS):
        return False  # Nearly always, and soon.
    return all(
        isinstance(part, LISTS) and all(isinstance(each, ITEMS) for each in part) for part in output
    )


def in_batches(output: Sequence[Sequence[Any]]) -> Iterator[tuple[Tensor, Tensor]]:
    """
    Make a batch of one of each prediction and target, which may be of different shapes.

    Raises:
        ValueError: There are not two lists of the same length.

    >>> list(in_batches(([torch.ones(2), torch.zeros(1)], [1, 0])))
    [(tensor([[1., 1.]]), tensor([1])), (tensor([[0.]]), tensor([0]))]
    """
    if len(output) != 2 or len(output[0]) != len(output[1]):
        raise ValueError(
            "an output of lists must be as many predictions as targets, "
            f"not lists of {' and '.join(str(len(part)) for part in output)}"
        )
    for y_pred, y in zip(*output, strict=True):
        device = y_pred.device if isinstance(y_pred, Tensor) else None
        yield _batch(y_pred, device), _batch(y, device)


def _batch(sample: Any, device: torch.device | None) -> Tensor:
    if isinstance(sample, Tensor):
        return sample.unsqueeze(0)
    return torch.tensor([sample], device=device)
