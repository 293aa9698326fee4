"""The worker processes of a loader: how they end."""

from __future__ import annotations

import atexit
import signal
from collections.abc import Iterator
from typing import Any
from weakref import WeakSet, finalize

ITERATORS: WeakSet[OrderlyIterator] = WeakSet()


class OrderlyIterator(Iterator[Any]):
    """
    An iterator that ends its workers at once, however it is let go.

    As a part of a reference cycle, an engine's or an exception's for example, torch's
    own is not able to: the garbage collector closes its queues before it can
    tell the workers to end by them, and it waits 5 seconds for each. What is held
    in a finalizer's arguments is no part of any cycle.
    """

    def __init__(self, iterator: Iterator[Any]) -> None:
        self._held = [iterator]
        finalize(self, self._held.clear).atexit = False  # At the exit that would be too late.
        ITERATORS.add(self)

    def __next__(self) -> Any:
        return next(self._held[0])

    def end(self) -> None:
        """Let the workers go."""
        self._held.clear()


@atexit.register
def end_workers() -> None:
    """
    Let all workers go at the exit of the process, before it waits for them.

    This is registered after torch's and Python's own endings, and so comes before them.
    """
    for iterator in list(ITERATORS):
        iterator.end()


def tell_of_workers(error: BaseException) -> BaseException:
    """
    Return the error, or one that says what it means, where a worker died on the way.

    Then what it has sent cannot be fetched, by a connection for example. Errors of
    the data set, of whatever kind, name the worker themselves.

    >>> tell_of_workers(EOFError("nothing came"))
    RuntimeError('a DataLoader worker ended unexpectedly: nothing came')
    """
    if isinstance(error, OSError | EOFError) and "DataLoader worker" not in str(error):
        return RuntimeError(f"a DataLoader worker ended unexpectedly: {error}")
    return error


def leave_stopping_to_the_training_process(worker: int) -> None:
    """
    Live through the signals that a terminal or a cluster sends to all processes at once.

    The training process needs its workers to end the iteration and save. It ends them
    itself: when it cannot otherwise, by a second SIGTERM.
    """
    for each in (signal.SIGINT, signal.SIGUSR1):
        signal.signal(each, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.signal(signal.SIGTERM, signal.SIG_DFL))
