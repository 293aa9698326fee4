"""Data sets: tensors in memory, whose batches are one indexing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import Dataset


class Rows(Protocol):
    """What gives rows for indices, all at once, as a tensor does."""

    def __len__(self) -> int: ...
    def __getitem__(self, indices: Any, /) -> Tensor: ...


class InMemoryDataset(Dataset[Any]):
    """
    Tensors whose first dimensions are the samples; a batch is one indexing of each.

    >>> data = InMemoryDataset(torch.arange(10.0), torch.arange(10))
    >>> data.__getitems__([2, 5])
    (tensor([2., 5.]), tensor([2, 5]))
    """

    def __init__(self, *tensors: Rows, transform: Callable[[Tensor], Tensor] | None = None):
        """
        Args:
            tensors: Of shapes `(N, ...)`, the inputs first; or what is indexed like one and
                reads its rows from a file, for example.
            transform: Changes a batch of inputs, `(B, ...)`, random augmentation for example.

        Raises:
            ValueError: Their lengths differ.
        """
        if len({len(tensor) for tensor in tensors}) != 1:
            raise ValueError(f"tensors of different lengths: {[len(each) for each in tensors]}")
        self.tensors = tensors
        self.transform = transform

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        return tuple(part[0] for part in self.__getitems__([index]))

    def __getitems__(self, indices: Sequence[int] | Tensor) -> tuple[Tensor, ...]:
        """Return one batch, which `torch.utils.data` prefers to asking for each sample."""
        chosen = torch.as_tensor(indices)
        inputs, *others = (tensor[chosen] for tensor in self.tensors)
        return (self.transform(inputs) if self.transform else inputs, *others)
