"""Building batches, each under a random state that is a function of its place in the data."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, default_collate, get_worker_info

from scaffold_runtime.data.datasets import InMemoryDataset
from scaffold_runtime.data.order import Orders
from scaffold_runtime.data.random_scope import random_scope, seed_global_generators
from scaffold_runtime.seeding import derive_seed

SeedEach = Literal["batch", "sample"]


class Recipe(NamedTuple):
    """How a batch is made."""

    dataset: Any
    collate: Callable[[Any], Any]  # Makes a batch of what the data set returned.
    seed: int  # What the random numbers depend on, with epoch and position.
    seed_each: SeedEach  # Seed once for the batch, or before each of its samples.

    @property
    def is_plain(self) -> bool:
        """Whether batches are one indexing of tensors, and draw no random numbers."""
        return (
            type(self.dataset) is InMemoryDataset  # What is derived from it may do anything.
            and self.dataset.transform is None
            and self.collate is as_it_is
        )


def make_recipe(
    dataset: Any, collate_fn: Callable[[Any], Any] | None, seed: int, seed_each: SeedEach
) -> Recipe:
    """Find out how batches are made of this data set."""
    at_once = isinstance(dataset, InMemoryDataset) and seed_each == "batch"
    collate = collate_fn or (as_it_is if at_once else default_collate)
    return Recipe(dataset, collate, seed, seed_each)


class Request(NamedTuple):
    """What is to be built: whoever builds it, and wherever, knows the place in the data."""

    epoch: int
    position: int  # That of the first sample in the order of the epoch.
    indices: Any


class End(NamedTuple):
    """Where a batch ends."""

    position: int
    is_last: bool


class Requests:
    """The batches to build, from a place to the end of its epoch."""

    def __init__(self, orders: Orders, batch_size: int, drop_last: bool, as_lists: bool) -> None:
        """
        Args:
            orders: The orders of samples.
            batch_size: Samples in a batch.
            drop_last: Leave out a last, smaller batch.
            as_lists: Ask by lists of indices instead of tensors.
        """
        self._orders = orders
        self._batch_size = batch_size
        self._drop_last = drop_last
        self._as_lists = as_lists
        self._place: tuple[int, int] = (0, 0)
        self._ends: deque[End] = deque()

    def begin(self, epoch: int, position: int) -> Iterator[End]:
        """Let the next iterators begin there; return the ends of their batches, one by one."""
        self._place, self._ends = (epoch, position), deque()
        return iter(self._ends.popleft, None)

    def __len__(self) -> int:
        batches, rest = divmod(len(self._orders), self._batch_size)
        return batches + (rest > 0 and not self._drop_last)

    def __iter__(self) -> Iterator[Request]:
        return self._request(*self._place, self._ends)

    # What it needs is given to it: with workers, torch makes an iterator that it does not use,
    # and another place may be sought before the first batch.
    def _request(self, epoch: int, position: int, ends: deque[End]) -> Iterator[Request]:
        order = self._orders.of_epoch(epoch)
        stop = len(order)
        if self._drop_last:
            stop -= (stop - position) % self._batch_size
        for start in range(position, stop, self._batch_size):
            end = min(start + self._batch_size, stop)
            indices = order[start:end]
            if self._as_lists and isinstance(indices, Tensor):
                indices = indices.tolist()
            ends.append(End(end, end == stop))
            yield Request(epoch, start, indices)


class IndexedBatches(Dataset[Any]):
    """The batches of a data set whose samples are asked for by their indices."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe

    def __getitem__(self, request: Request) -> Any:
        collate = self._recipe.collate
        try:
            if self._recipe.is_plain:
                return collate(self._samples(request))
            with random_scope(self._seed_of(request, request.position)):
                return collate(self._samples(request))
        except StopIteration as error:  # In a loop over the batches it would end the epoch.
            raise RuntimeError("the data set or collate_fn raised StopIteration") from error

    def _samples(self, request: Request) -> Any:
        dataset = self._recipe.dataset
        if self._recipe.seed_each == "sample":
            places = enumerate(request.indices, request.position)
            return [self._sample(index, self._seed_of(request, place)) for place, index in places]
        if hasattr(dataset, "__getitems__"):
            return dataset.__getitems__(request.indices)
        return [dataset[index] for index in request.indices]

    def _sample(self, index: Any, seed: int) -> Any:
        seed_global_generators(seed)
        dataset = self._recipe.dataset
        if hasattr(dataset, "__getitem__"):
            return dataset[index]
        return dataset.__getitems__([index])[0]

    def _seed_of(self, request: Request, position: int) -> int:
        return derive_seed(self._recipe.seed, request.epoch, position)


class StreamedBatches(IterableDataset[Any]):
    """
    The batches of a data set that only gives its samples one after another.

    Of several workers, each has a stream of its own, and positions of its own in it.
    """

    def __init__(self, recipe: Recipe, batch_size: int, drop_last: bool) -> None:
        self._recipe = recipe
        self._batch_size = batch_size
        self._fewest = batch_size if drop_last else 1
        self._epoch = 0

    def begin(self, epoch: int, position: int) -> Iterator[End]:
        """Let the next iterators be of this epoch; return the ends of its batches from there on."""
        self._epoch = epoch
        if hasattr(self._recipe.dataset, "set_epoch"):
            self._recipe.dataset.set_epoch(epoch)
        ends = itertools.count(position + self._batch_size, self._batch_size)
        return (End(end, is_last=False) for end in ends)

    def __len__(self) -> int:
        batches, rest = divmod(len(self._recipe.dataset), self._batch_size)
        return batches + (rest >= self._fewest)

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info()
        return self._build(self._epoch, worker.id if worker else 0)

    def _build(self, epoch: int, worker: int) -> Iterator[Any]:
        samples: Iterator[Any] | None = None
        for position in itertools.count(0, self._batch_size):
            with random_scope(derive_seed(self._recipe.seed, epoch, position, worker)):
                if samples is None:
                    samples = iter(self._recipe.dataset)  # Now: some draw at once, to shuffle.
                drawn = list(self._draw(samples, epoch, position, worker))
                if len(drawn) < self._fewest:
                    return
                batch = self._recipe.collate(drawn)
            yield batch

    def _draw(
        self, samples: Iterator[Any], epoch: int, position: int, worker: int
    ) -> Iterator[Any]:
        if self._recipe.seed_each == "batch":
            yield from itertools.islice(samples, self._batch_size)
            return
        for place in range(position, position + self._batch_size):
            seed_global_generators(derive_seed(self._recipe.seed, epoch, place, worker))
            yield from itertools.islice(samples, 1)


def is_stream(dataset: Any) -> bool:
    """Say whether the samples of a data set cannot be asked for by index."""
    indexed = hasattr(dataset, "__getitem__") or hasattr(dataset, "__getitems__")
    return isinstance(dataset, IterableDataset) or not indexed


def as_it_is(batch: Any) -> Any:
    """Return the batch, in the place of a collate function that would change it."""
    return batch
