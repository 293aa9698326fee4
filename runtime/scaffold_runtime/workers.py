"""The worker processes of a loader: how they end."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any
from weakref import finalize


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
        finalize(self, self._held.clear).atexit = False  # There, torch knows what to do.

    def __next__(self) -> Any:
        return next(self._held[0])


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
    """Ignore what a terminal sends to all processes at once, so that the run can end in order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
