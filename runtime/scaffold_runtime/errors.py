"""What a person can put right."""


import signal


class UserError(Exception):
    """A mistake of the person at the keyboard; shown as one line, without a traceback."""


class LimitError(UserError, ValueError):
    """A run is to end before where it stands."""


class CheckpointError(UserError):
    """A checkpoint that is damaged, or does not fit what it should be loaded into."""


class NothingSavedError(UserError, FileNotFoundError):
    """There is no checkpoint yet."""


class Stopped(SystemExit):
    """The run was saved because of a signal; the process exits with 128 + its number."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.signal = signal.Signals(number)
