"""Several streams of data in one batch, each repeating exactly, from any place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from scaffold_runtime.data.loader import Loader
from scaffold_runtime.device import Device


class Streams:
    """
    Batches of several loaders side by side: `{"labelled": ..., "unlabelled": ...}`.

    An epoch is one pass over the loader that `epoch_of` names. The others go on beside
    it, whether it ends or not, and begin again, in a new order, whenever they end
    themselves: none of them leaves out a sample.

    Which batch of which of its epochs a loader gives is a function of the epoch and the
    batch asked for. So an engine, which tells these by `seek`, goes on at the exact place
    of every stream after a restart, and nothing before it is loaded.

    >>> few, many = Loader(["a", "b"], batch_size=1), Loader(range(6), batch_size=2)
    >>> streams = Streams({"few": few, "many": many}, epoch_of="many")
    >>> for batch in streams:
    ...     print(batch)
    {'few': ['a'], 'many': tensor([0, 1])}
    {'few': ['b'], 'many': tensor([2, 3])}
    {'few': ['a'], 'many': tensor([4, 5])}
    >>> streams.seek(epoch=1, batch=2)
    >>> next(iter(streams))
    {'few': ['b'], 'many': tensor([4, 5])}
    """

    def __init__(
        self, loaders: Mapping[str, Loader], epoch_of: str, *, first_epoch: int = 0
    ) -> None:
        """
        Args:
            loaders: Each under the name that its batches have.
            epoch_of: The name of the loader whose pass is an epoch.
            first_epoch: What the loaders take the first epoch for. A negative one is for
                epochs that come before those which are to be like another run's.

        Raises:
            ValueError: There is no loader of this name, one is empty, or one is given twice.
            TypeError: The length of one is not known.
        """
        if epoch_of not in loaders:
            raise ValueError(f"epoch_of is {epoch_of!r}, but the loaders are {', '.join(loaders)}")
        if len({id(loader) for loader in loaders.values()}) < len(loaders):
            raise ValueError("one loader stands at one place: give each name a loader of its own")
        self._lengths = {name: len(loader) for name, loader in loaders.items()}
        for name, length in self._lengths.items():
            if length == 0:
                raise ValueError(f"the loader {name!r} is empty: there is no batch to go on with")
        self.loaders = dict(loaders)
        self.epoch_of = epoch_of
        self._first_epoch = first_epoch
        self._place = _Place(epoch=0, batch=0)

    @property
    def epoch(self) -> int:
        """The epoch of the iteration under way, or of the next."""
        return self._place.epoch

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return self._lengths[self.epoch_of]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        if self._place.is_taken:  # One that was left early is begun again.
            self._place = _Place(self._place.epoch, batch=0)
        self._place.is_taken = True
        return self._give(self._place)

    def to(self, device: Device) -> Streams:
        """Move the batches of the next iterations to a device, each loader by itself."""
        for loader in self.loaders.values():
            loader.to(device)
        return self

    def seek(self, epoch: int, batch: int = 0) -> None:
        """Begin the next iteration with this batch of this epoch, both counted from 0."""
        self._place = _Place(epoch, batch)

    def state_dict(self) -> dict[str, int]:
        """Return the epoch, and the number of its batches that were given to the loop."""
        return {"epoch": self._place.epoch, "batch": self._place.batch}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Begin the next iteration where `state_dict` was called, with the same batch sizes."""
        self.seek(state["epoch"], state["batch"])

    def _give(self, place: _Place) -> Iterator[dict[str, Any]]:
        epoch = place.epoch + self._first_epoch
        begin = epoch * len(self) + place.batch
        streams = {
            name: self._go_round(loader, *divmod(begin, self._lengths[name]))
            for name, loader in self.loaders.items()
        }
        for batch in _pass(self.loaders[self.epoch_of], epoch, place.batch):
            streams[self.epoch_of] = iter((batch,))
            place.batch += 1
            yield {name: next(batches) for name, batches in streams.items()}
        place.epoch, place.batch, place.is_taken = place.epoch + 1, 0, False

    @staticmethod
    def _go_round(loader: Loader, epoch: int, batch: int) -> Iterator[Any]:
        """Return the batches of a loader from this one on, without end."""
        while True:
            yield from _pass(loader, epoch, batch)
            epoch, batch = epoch + 1, 0


def _pass(loader: Loader, epoch: int, batch: int) -> Iterator[Any]:
    """Return the batches of one epoch from this one on."""
    loader.seek(epoch, batch)
    return iter(loader)


class _Place:
    """Where an iteration stands; each moves its own, so that an older one moves no other's."""

    def __init__(self, epoch: int, batch: int) -> None:
        self.epoch = epoch
        self.batch = batch  # Those of the epoch that were given.
        self.is_taken = False  # An iteration has begun here, so the next does not.
