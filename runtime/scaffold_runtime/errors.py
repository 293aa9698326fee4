"""What a person can put right."""

import signal


class UserError(Exception):
    """
    A mistake of the person at the keyboard; shown as one line, without a traceback.

    >>> from scaffold_runtime import choose_device
    >>> choose_device("gpu")
    Traceback (most recent call last):
    scaffold_runtime.errors.UserError: there is no device 'gpu' here; try --device auto
    """


class LimitError(UserError, ValueError):
    """A run is to end before where it stands."""


class CheckpointError(UserError):
    """
    A checkpoint that is damaged, or does not fit what it should be loaded into.

    >>> from scaffold_runtime import load_parts
    >>> load_parts("last.pt", {"parts": {"model": {}}}, {})
    Traceback (most recent call last):
    scaffold_runtime.errors.CheckpointError: last.pt does not fit: \
only in the file: model; only here: nothing
    """


class NothingSavedError(UserError, FileNotFoundError):
    """
    There is no checkpoint yet.

    >>> from scaffold_runtime import restore_best
    >>> restore_best("nowhere", {})
    Traceback (most recent call last):
    scaffold_runtime.errors.NothingSavedError: there is no good best checkpoint in nowhere
    """


class Stopped(SystemExit):
    """
    The run was saved because of a signal; the process exits with 128 + its number.

    >>> Stopped(signal.SIGTERM).code
    143
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.signal = signal.Signals(number)
