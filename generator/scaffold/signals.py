"""Let signals that ask us to end wait for the end of what must not be half done."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def waiting() -> Iterator[None]:
    """Let signals that ask us to end wait, in git's processes and all threads of ours, too."""
    arrived: list[int] = []
    asked = {signal.SIGINT, signal.SIGTERM}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, asked)  # For what is started meanwhile.
    handlers = {}
    if threading.current_thread() is threading.main_thread():  # No other may set handlers.
        for number in asked:
            if signal.getsignal(number) != signal.SIG_IGN:
                handlers[number] = signal.signal(number, lambda got, _: arrived.append(got))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for got in arrived[:1]:
            os.kill(os.getpid(), got)
