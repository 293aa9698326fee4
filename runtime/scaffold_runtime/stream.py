"""The batches of a run: pass after pass over the data, from any position."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any


class DataStream:
    """
    Pass after pass over the data of a run.

    A position is two numbers, the pass and the iteration it began at, so a
    later process finds the same place again. A pass is not an epoch: an epoch
    may be shorter or longer than the data.

    Data with a method `seek(epoch, batch)` is asked to begin its next
    iteration there, which costs no loading. Other data is told the pass through
    `set_epoch(epoch)` if it has that, and the batches before are drawn and dropped.
    """

    def __init__(self) -> None:
        self.passes = 0  # Complete ones before the one under way.
        self.start = 0  # The iteration after which the pass under way began.
        self.iterator: Iterator[Any] | None = None
        self._data: Iterable[Any] | None = None

    def open(self, data: Iterable[Any] | None, iteration: int) -> None:
        """Make `iterator` give the batch that follows this iteration; an open one just goes on."""
        if self.iterator is not None and data is self._data:
            return
        self._data = data
        # Larger when other data was set while a batch of the old was unfinished.
        self.start = min(self.start, iteration)
        length = length_of(data)
        if length is not None and iteration - self.start >= length:
            self._count_pass(iteration)
        self.iterator = self._iterate(skip=iteration - self.start)

    def begin_pass(self, data: Iterable[Any] | None, iteration: int) -> None:
        """Begin the data again, or other data."""
        self._count_pass(iteration)
        self._data = data
        self.iterator = self._iterate(skip=0)

    def leave_pass(self, iteration: int) -> None:
        """Give up the rest of this pass."""
        self._count_pass(iteration)
        self.iterator = None

    def put_back(self, batch: Any) -> None:
        """Give this batch again next, because its iteration did not come to its end."""
        assert self.iterator is not None
        self.iterator = itertools.chain((batch,), self.iterator)

    def has_more(self) -> bool:
        """Say whether there is a next batch, by drawing it and putting it back."""
        assert self.iterator is not None
        try:
            for batch in self.iterator:
                self.put_back(batch)
                return True
        except BaseException:
            self.drop()
            raise
        return False

    def drop(self) -> None:
        """
        Forget an iterator that failed; the next `open` makes one for the same position.

        Data that is an iterator itself stands there already.
        """
        self.iterator = self._data if isinstance(self._data, Iterator) else None

    def close(self) -> None:
        """Let go of the iterator and whatever it holds, worker processes for example."""
        self.iterator = None
        self._data = None

    def state_dict(self) -> dict[str, int]:
        """Return the position, as plain numbers."""
        return {"passes": self.passes, "start": self.start}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Take up a position that `state_dict` returned."""
        self.close()
        self.passes, self.start = state["passes"], state["start"]

    def _count_pass(self, iteration: int) -> None:
        self.passes += 1
        self.start = iteration

    def _iterate(self, skip: int) -> Iterator[Any]:
        data = self._data
        if data is None:
            return itertools.repeat(None)
        if hasattr(data, "seek"):
            data.seek(self.passes, skip)
            return iter(data)
        if hasattr(data, "set_epoch"):
            data.set_epoch(self.passes)
        return itertools.islice(data, skip, None) if skip else iter(data)


def length_of(data: Iterable[Any] | None) -> int | None:
    """Return the number of batches, where the data knows it."""
    try:
        return len(data)  # type: ignore[arg-type]
    except TypeError:  # Iterators, and loaders over iterable data sets, do not know it.
        return None
