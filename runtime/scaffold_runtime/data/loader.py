"""
The loader: batches that repeat exactly, from any place, whatever was drawn before.

How data is made to repeat exactly. The order of samples is a function of (seed,
epoch), see `order.py`. A position is the number of samples of that order that were
handed out; whoever knows (seed, epoch, position) knows what is to come, without
loading anything before it. While a batch is built, the global random states are a
function of (seed, epoch, position of its first sample), see `batches.py`; so a batch
is the same whichever process builds it, however far ahead, and after whatever cut.
Random numbers by other ways, `numpy.random.default_rng()` in a data set for example,
are beyond the loader's reach: derive their seed from a global generator.

How it carries over to several processes (which `Loader` does not yet do). Order and
position are global: the position is the number of samples that all processes
together have handed out, the same number in every process, and in the checkpoint
once. With w processes and batches of b samples each, process r takes the samples
from p + r * b to p + (r + 1) * b of the order, and the position moves on from p to
p + w * b; every process computes the order for itself, nothing is sent. A restart
with other w or b goes on from the same position: no sample is left out or seen
twice. Where the last w * b samples are not there, what is left is divided evenly, or
dropped. The random state depends on the position, not on the process, so that
with `seed_each="sample"` a sample is even augmented alike on any number of processes.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from scaffold_runtime.data.batches import (
    End,
    IndexedBatches,
    Requests,
    SeedEach,
    StreamedBatches,
    as_it_is,
    is_stream,
    make_recipe,
)
from scaffold_runtime.data.order import choose_orders
from scaffold_runtime.data.workers import (
    OrderlyIterator,
    leave_stopping_to_the_training_process,
    tell_of_workers,
)
from scaffold_runtime.device import Device, move_ahead
from scaffold_runtime.seeding import derive_seed

logger = logging.getLogger(__name__)

_NO_MORE = object()


class Loader:
    """
    Batches of a data set, by `torch.utils.data.DataLoader`, that repeat exactly.

    The order of the samples is a function of the seed and the epoch, and what is
    drawn from Python's, NumPy's and torch's global generators while a batch is built
    depends on the seed, the epoch and the batch's place alone: not on workers,
    prefetching, or where a run was cut. The training process's own random state is
    left as it was. The last batch may be smaller.

    An engine tells the loader the epoch and, after a restart, the batch to begin with;
    those before it are never loaded. In a loop of one's own, an iteration that came to
    its end makes the next one be of the next epoch, and one that was left early is
    begun again:

        loader.load_state_dict(saved)  # After a restart: {"epoch": 3, "position": 640}
        for epoch in range(loader.epoch, 10):
            for batch in loader:
                ...

    >>> loader = Loader(range(5), batch_size=2, shuffle=True, seed=1)
    >>> batches = iter(loader)
    >>> first, saved = next(batches), loader.state_dict()
    >>> saved
    {'epoch': 0, 'position': 2}
    >>> rest = list(batches)
    >>> loader.load_state_dict(saved)
    >>> [torch.equal(again, batch) for again, batch in zip(loader, rest)]
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
        *,
        sampler: Iterable[Any] | None = None,
        weights: Sequence[float] | Tensor | None = None,
        drop_last: bool = False,
        seed_each: SeedEach = "batch",
        persistent_workers: bool = False,
        prefetch_factor: int | None = None,
        pin_memory: bool = False,
        device: Device = None,
        multiprocessing_context: Any = None,
    ) -> None:
        """
        Args:
            dataset: With `__len__`, and `__getitem__` or `__getitems__`; or an iterable
                one, which can begin elsewhere than at its start only by drawing and
                dropping what comes before.
            batch_size: Samples in a batch.
            shuffle: Draw a new order for each epoch; else the data set's own.
            seed: What the orders and the random numbers depend on.
            num_workers: Processes that load; 0 loads in this one.
            collate_fn: Makes a batch of a list of samples; by default torch's.
            sampler: Gives the indices in their order, instead of `shuffle`. It is told
                the epoch by `set_epoch`, if it has that, and gone through at once, with
                the global generators, and torch ones among its attributes, seeded.
            weights: One for each sample, which is drawn in proportion, with replacement.
            drop_last: Leave out a last, smaller batch.
            seed_each: "sample" seeds the random state for each sample instead of once
                for a batch, so that it does not depend on the batch size; that takes
                some 10 microseconds a sample.
            persistent_workers: Keep the workers from one epoch to the next.
            prefetch_factor: Batches that each worker builds ahead; 2 by default.
            pin_memory: Copy batches to memory that devices read directly.
            device: Where batches are moved to; with CUDA through pinned memory and one
                batch ahead, while the step before still computes.
            multiprocessing_context: How workers are started, "spawn" for example.

        Raises:
            ValueError: Arguments contradict each other, or are out of range.
        """
        _check(batch_size, seed_each)
        self.dataset = dataset
        self.batch_size = batch_size
        self.num_workers = num_workers
        self._place = _Place(epoch=0, position=0)
        self._served: _Place | None = None  # What persistent workers load for.
        self._persistent: Iterator[Any] | None = None  # Through which they end.
        recipe = make_recipe(dataset, collate_fn, seed, seed_each)
        self._source: Requests | StreamedBatches
        batches: IndexedBatches | StreamedBatches
        if is_stream(dataset):
            _check_stream(shuffle, sampler, weights, persistent_workers)
            self._source = batches = StreamedBatches(recipe, batch_size, drop_last)
        else:
            orders = choose_orders(len(dataset), shuffle, sampler, weights, seed)
            # Between processes lists are sent faster than tensors.
            as_lists = num_workers > 0 or not recipe.is_plain
            self._source = Requests(orders, batch_size, drop_last, as_lists)
            batches = IndexedBatches(recipe)
        self._make_dataloader = partial(
            DataLoader[Any],
            batches,
            sampler=self._source if isinstance(self._source, Requests) else None,
            batch_size=None,
            num_workers=num_workers,
            collate_fn=as_it_is,
            worker_init_fn=leave_stopping_to_the_training_process,
            multiprocessing_context=multiprocessing_context,
            # One of its own: without it, every new iterator draws from the global one.
            generator=torch.Generator().manual_seed(derive_seed(seed)),
            prefetch_factor=prefetch_factor,
            persistent_workers=persistent_workers,
        )
        self._pin_memory = pin_memory
        self._device = None if device is None else torch.device(device)
        self.close()

    @property
    def epoch(self) -> int:
        """The epoch of the iteration under way, or of the next."""
        return self._place.epoch

    def __len__(self) -> int:
        """
        Return the number of batches in an epoch.

        Raises:
            TypeError: It is not known.
        """
        if self.num_workers > 1 and isinstance(self._source, StreamedBatches):
            raise TypeError("how several workers share an iterable data set is not known")
        return len(self._source)

    def __iter__(self) -> Iterator[Any]:
        if self._place.is_taken:
            self._place = _Place(self._place.epoch, position=0)
        place = self._place
        place.is_taken = True
        ends = self._source.begin(place.epoch, place.position)
        batches: Iterator[Any] = iter(self._dataloader)
        if self.num_workers > 0:
            batches = OrderlyIterator(batches)
        if self._dataloader.persistent_workers:
            self._persistent = batches
        if isinstance(self._source, StreamedBatches) and place.position:
            batches = _skip(batches, place.position, self.batch_size)
        if self._device is not None:
            batches = move_ahead(batches, self._device)
        self._served = place
        return self._give(batches, ends, place)

    def to(self, device: Device) -> Loader:
        """Move the batches of the next iterations to a device, as the argument `device` says."""
        chosen = None if device is None else torch.device(device)
        if chosen != self._device:
            self._device = chosen
            self.close()  # Workers pin what goes to CUDA.
        return self

    def seek(self, epoch: int, batch: int = 0) -> None:
        """Begin the next iteration with this batch of this epoch, both counted from 0."""
        self._place = _Place(epoch, batch * self.batch_size)

    def state_dict(self) -> dict[str, int]:
        """
        Return the epoch, and the number of samples of its order that were given to the loop.

        Batches that are loaded ahead do not count. Of an iterable data set, each
        batch counts as `batch_size` samples.
        """
        return {"epoch": self._place.epoch, "position": self._place.position}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """
        Begin the next iteration where `state_dict` was called, with any batch size.

        With an iterable data set the batch size must be the same.
        """
        self._place = _Place(state["epoch"], state["position"])

    def close(self) -> None:
        """Let go of persistent workers; the next iteration begins with new ones."""
        self._persistent = None
        on_cuda = self._device is not None and self._device.type == "cuda"
        in_workers = on_cuda and self.num_workers > 0
        self._dataloader = self._make_dataloader(pin_memory=self._pin_memory or in_workers)

    def _give(self, batches: Iterator[Any], ends: Iterator[End], place: _Place) -> Iterator[Any]:
        while True:
            if self._dataloader.persistent_workers and place is not self._served:
                raise RuntimeError(
                    "another iteration of this loader has begun, and persistent workers load for "
                    "one at a time: make a second loader"
                )
            try:
                batch = next(batches, _NO_MORE)
            except BaseException as error:
                if self.num_workers == 0:
                    raise
                self.close()  # Workers that were killed do not come back.
                batches = iter(())  # Lets the workers go; a traceback would hold them as well.
                raise tell_of_workers(error.with_traceback(None)) from None
            if batch is _NO_MORE:
                break
            place.position, is_last = next(ends)
            if is_last:
                batches = iter(())  # Lets the workers go before the last batch is made use of.
            yield batch
        place.epoch, place.position, place.is_taken = place.epoch + 1, 0, False


class _Place:
    """Where an iteration stands; each moves its own, so that an older one moves no other's."""

    def __init__(self, epoch: int, position: int) -> None:
        self.epoch = epoch
        self.position = position  # Samples of the epoch's order.
        self.is_taken = False  # An iteration has begun here, so the next does not.


def _skip(batches: Iterator[Any], position: int, batch_size: int) -> Iterator[Any]:
    """Draw and drop the batches of a stream before a position."""
    count, rest = divmod(position, batch_size)
    if rest:
        raise ValueError(
            f"position {position} is not a whole number of batches of {batch_size}: go on with the "
            "batch_size that this place in an iterable data set was saved with"
        )
    logger.warning(
        "skipping %d batches of an iterable data set: they are loaded and dropped", count
    )
    return itertools.islice(batches, count, None)


def _check(batch_size: int, seed_each: str) -> None:
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    if seed_each not in ("batch", "sample"):
        raise ValueError(f"seed_each is 'batch' or 'sample', not {seed_each!r}")


def _check_stream(shuffle: bool, sampler: Any, weights: Any, persistent_workers: bool) -> None:
    chosen = {"shuffle": shuffle, "sampler": sampler is not None, "weights": weights is not None}
    for name, is_chosen in chosen.items():
        if is_chosen:
            raise ValueError(f"an iterable data set has an order of its own: leave out {name}")
    if persistent_workers:
        raise ValueError(
            "persistent workers cannot be told the epoch of an iterable data set: "
            "leave out persistent_workers"
        )
