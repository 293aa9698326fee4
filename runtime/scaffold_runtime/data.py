"""Batches in an order that depends on the seed and the epoch alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from scaffold_runtime.seeding import derive_seed


class InMemoryDataset(Dataset[Any]):
    """
    Tensors whose first dimensions are the samples; a batch is one indexing of each.

    >>> data = InMemoryDataset(torch.arange(10.0), torch.arange(10))
    >>> data.__getitems__([2, 5])
    (tensor([2., 5.]), tensor([2, 5]))
    """

    def __init__(self, *tensors: Tensor, transform: Callable[[Tensor], Tensor] | None = None):
        """
        Args:
            tensors: Of shapes `(N, ...)`, the inputs first.
            transform: Changes a batch of inputs, `(B, ...)`, random augmentation for example.

        Raises:
            ValueError: Their lengths differ.
        """
        if len({len(tensor) for tensor in tensors}) != 1:
            raise ValueError(f"tensors of different lengths: {[len(each) for each in tensors]}")
        self.tensors = tensors
        self._transform = transform

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        return tuple(part[0] for part in self.__getitems__([index]))

    def __getitems__(self, indices: Sequence[int]) -> tuple[Tensor, ...]:
        """Return one batch, which `torch.utils.data` prefers to asking for each sample."""
        chosen = torch.as_tensor(indices)
        inputs, *others = (tensor[chosen] for tensor in self.tensors)
        return (self._transform(inputs) if self._transform else inputs, *others)


class Loader:
    """
    Batches of a data set, by `torch.utils.data.DataLoader`, in a reproducible order.

    The order is a function of the seed and the epoch, not of how many random
    numbers anybody drew before. An engine tells the loader the epoch, and after a
    restart the batch to begin with; the batches before it are never loaded. The
    last batch may be smaller.

    >>> loader = Loader(InMemoryDataset(torch.arange(5)), batch_size=2, shuffle=True, seed=1)
    >>> first = [batch for (batch,) in loader]
    >>> loader.seek(epoch=0, batch=1)
    >>> [torch.equal(again, batch) for (again,), batch in zip(loader, first[1:])]
    [True, True]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int,
        shuffle: bool = False,
        seed: int = 0,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
    ) -> None:
        """
        Args:
            dataset: With `__len__`, and `__getitem__` or `__getitems__`.
            batch_size: Samples in a batch.
            shuffle: Draw a new order for each epoch; else the data set's own.
            seed: What the orders depend on.
            num_workers: Processes that load; 0 loads in this one.
            collate_fn: Makes a batch of a list of samples; by default torch's.
        """
        if collate_fn is None and isinstance(dataset, InMemoryDataset):
            collate_fn = _as_it_is
        self.dataset = dataset
        self._order = _Order(len(dataset), batch_size, shuffle, seed)
        self._loader = DataLoader[Any](
            dataset,
            batch_sampler=self._order,
            num_workers=num_workers,
            collate_fn=collate_fn,
            # One of its own: without it, every new iterator draws from the global one.
            generator=torch.Generator().manual_seed(derive_seed(seed)),
        )

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[Any]:
        batches = iter(self._loader)
        self._order.first = 0  # Only now: with workers, torch asks for the order more than once.
        return batches

    def seek(self, epoch: int, batch: int = 0) -> None:
        """Begin the next iteration with this batch of this epoch, both counted from 0."""
        self._order.epoch, self._order.first = epoch, batch


class _Order:
    """The indices of each batch of an epoch."""

    def __init__(self, samples: int, batch_size: int, shuffle: bool, seed: int) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        self.epoch = 0
        self.first = 0
        self._samples = samples
        self._batch_size = batch_size
        self._shuffle = shuffle
        self._seed = seed

    def __len__(self) -> int:
        return -(-self._samples // self._batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        # Chosen now, not with the first batch: until then another place may be sought.
        indices = self._indices()[self.first * self._batch_size :]
        starts = range(0, len(indices), self._batch_size)
        return (indices[start : start + self._batch_size].tolist() for start in starts)

    def _indices(self) -> Tensor:
        if not self._shuffle:
            return torch.arange(self._samples)
        generator = torch.Generator().manual_seed(derive_seed(self._seed, self.epoch))
        return torch.randperm(self._samples, generator=generator)


def _as_it_is(batch: Any) -> Any:
    return batch
