"""Saving without holding up the run: beside the loop, and when the disk refuses."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Literal, get_args

from scaffold_runtime.files import in_words

logger = logging.getLogger(__name__)

OnError = Literal["continue", "stop"]


def check_on_error(on_error: str) -> OnError:
    """
    Return what is to be done when something cannot be saved.

    Raises:
        ValueError: It is neither "continue" nor "stop".
    """
    for choice in get_args(OnError):
        if on_error == choice:
            return choice  # type: ignore[no-any-return]
    raise ValueError(f"on_error must be 'continue' or 'stop', not {on_error!r}")


@contextmanager
def survive_disk_errors(on_error: OnError) -> Iterator[None]:
    """Say in one line that something could not be saved, and go on; or let the error pass."""
    try:
        yield
    except OSError as error:
        if on_error == "stop":
            raise
        logger.error(
            "%s could not be saved: %s; training goes on, and what was saved before is kept",
            error.filename,
            in_words(error),
        )


class Background:
    """
    Does a piece of work in a thread, and keeps what it raised until somebody asks.

    The process does not end before the work is done. An error that nobody asked for
    until then is logged.

    >>> background = Background("saving")
    >>> done = []
    >>> background.begin(lambda: done.append("saved"))
    >>> background.wait()
    >>> done
    ['saved']
    >>> background.begin(lambda: int("three"))
    >>> background.wait()
    Traceback (most recent call last):
    ValueError: invalid literal for int() with base 10: 'three'
    >>> background.wait()
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread: Thread | None = None
        self._errors: list[BaseException] = []
        weakref.finalize(self, _log_forgotten, name, self._errors)

    def begin(self, work: Callable[[], None]) -> None:
        """Begin with the work, when that of before is done; what that one raised is raised here."""
        self.wait()
        # A daemon would be cut off in the middle when the process ends.
        self._thread = Thread(target=self._do, args=(work,), name=self._name, daemon=False)
        self._thread.start()

    def wait(self) -> None:
        """Wait until the work is done, and raise what it raised, once."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._errors:
            raise self._errors.pop()

    def _do(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            self._errors.append(error)


def _log_forgotten(name: str, errors: list[BaseException]) -> None:
    for error in errors:
        logger.error("%s failed: %s", name, error)
