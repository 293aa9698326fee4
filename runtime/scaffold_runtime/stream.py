"""The batches of a run: pass after pass over the data, from any position."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

logger = logging.getLogger(__name__)


class LoaderState(NamedTuple):
    """The state of a loader after that many batches of the pass."""

    state: Any
    taken: int


class DataStream:
    """
    Pass after pass over the data of a run.

    A position is two numbers, the pass and the iteration it began at, so a
    later process finds the same place again. A pass is not an epoch: an epoch
    may be shorter or longer than the data.

    Data with a method `seek(epoch, batch)` is asked to begin its next
    iteration there, which costs no loading. Other data is told the pass through
    `set_epoch(epoch)` if it has that, and the batches before are drawn and dropped.

    Of data with `state_dict` and `load_state_dict`, and no `seek`, the state is
    saved with the position, and a later process goes on from it. If it is saved while a
    batch is at hand whose iteration is unfinished, the loader is one batch too far:
    then its state from the beginning of the pass is saved, and going on draws and drops
    the batches from there to the position.
    """

    def __init__(self) -> None:
        self.passes = 0  # Complete ones before the one under way.
        self.start = 0  # The iteration after which the pass under way began.
        self.iterator: Iterator[Any] | None = None
        self._data: Iterable[Any] | None = None
        self._taken = 0  # Batches of this pass drawn from data that has a state.
        self._known: LoaderState | None = None  # A state of it in this pass to go back to.

    def open(self, data: Iterable[Any] | None, iteration: int) -> None:
        """Make `iterator` give the batch that follows this iteration; an open one just goes on."""
        if self.iterator is not None and data is self._data:
            return
        self._data = data
        # Larger when other data was set while a batch of the old was unfinished.
        self.start = min(self.start, iteration)
        length = length_of(data)
        # From a state at the end of its pass, a loader comes to the end by itself.
        is_known = self._known is not None and _has_state(data)
        if length is not None and iteration - self.start >= length and not is_known:
            self.iterator = iter(())  # The end of the pass is still to be found, and announced.
            return
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

        Data that is an iterator itself stands there already, or has a state to go back to.
        """
        stands_there = isinstance(self._data, Iterator) and not _has_state(self._data)
        self.iterator = self._data if stands_there else None  # type: ignore[assignment]

    def close(self) -> None:
        """Let go of the iterator and whatever it holds, worker processes for example."""
        if self.iterator is not None and self._known is not None:
            self._known = self._state_now()
        self.iterator = None
        self._data = None

    def state_dict(self, iteration: int | None = None) -> dict[str, Any]:
        """
        Return the position, as plain numbers, and the state of data that has one.

        Args:
            iteration: The last that was finished; by default, no batch is at hand.
        """
        position: dict[str, Any] = {"passes": self.passes, "start": self.start}
        if self._known is None:
            return position
        known = self._known
        at_hand = iteration is not None and self.start + self._taken != iteration
        if self.iterator is not None and not at_hand:
            known = self._state_now()
        return {**position, "loader": known.state, "taken": known.taken}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a position that `state_dict` returned."""
        self.close()
        self.passes, self.start = state["passes"], state["start"]
        self._known = LoaderState(state["loader"], state["taken"]) if "loader" in state else None

    def _state_now(self) -> LoaderState:
        return LoaderState(self._data.state_dict(), self._taken)  # type: ignore[union-attr]

    def _count_pass(self, iteration: int) -> None:
        self.passes += 1
        self.start = iteration
        self._known = None

    def _iterate(self, skip: int) -> Iterator[Any]:
        data = self._data
        if data is None:
            return itertools.repeat(None)
        if hasattr(data, "seek"):
            data.seek(self.passes, skip)
            return iter(data)
        if hasattr(data, "set_epoch"):
            data.set_epoch(self.passes)
        if _has_state(data):
            return self._iterate_from_state(data, skip)
        if skip and not (hasattr(data, "set_epoch") or hasattr(data, "__getitem__")):
            logger.warning(
                "%d batches are drawn and dropped to come to the place where the run stopped; "
                "shuffled data repeats its order only with `Loader`",
                skip,
            )
        return itertools.islice(data, skip, None) if skip else iter(data)

    def _iterate_from_state(self, data: Any, skip: int) -> Iterator[Any]:
        if self._known is not None:
            data.load_state_dict(self._known.state)
        batches = iter(data)
        if self._known is None:
            self._known = LoaderState(data.state_dict(), 0)
        self._taken = self._known.taken
        return itertools.islice(self._count(batches), skip - self._taken, None)

    def _count(self, batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            self._taken += 1
            yield batch


def _has_state(data: Any) -> bool:
    return (
        hasattr(data, "state_dict")
        and hasattr(data, "load_state_dict")
        and not hasattr(data, "seek")
    )


def length_of(data: Iterable[Any] | None) -> int | None:
    """Return the number of batches, where the data knows it."""
    try:
        return len(data)  # type: ignore[arg-type]
    except TypeError:  # Iterators, and loaders over iterable data sets, do not know it.
        return None
