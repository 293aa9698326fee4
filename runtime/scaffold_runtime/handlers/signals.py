"""What a run does when the system asks it to stop."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from scaffold_runtime.engine import Engine
from scaffold_runtime.errors import Stopped
from scaffold_runtime.events import Events
from scaffold_runtime.files import in_words
from scaffold_runtime.intervals import parse_duration

logger = logging.getLogger(__name__)

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
SAVING = (signal.SIGUSR1,)


class SaveOnSignal:
    """
    Save when the system sends a signal, at the end of the iteration or event under way.

    After SIGINT (Ctrl-C), SIGTERM, or when `max_time` is over, the run is saved and
    left by `Stopped`, with which a process exits with 128 + the signal's number; a
    second signal leaves at once, without saving. After SIGUSR1, which SLURM sends before
    a time limit, it is saved and goes on.

    Signals belong to the main thread of a process; in another thread none is heard.

    >>> engine = Engine(lambda engine, batch: os.kill(os.getpid(), signal.SIGUSR1))
    >>> SaveOnSignal(lambda: print("saved after", engine.state.iteration)).attach(engine)
    >>> state = engine.run([1])
    saved after 1
    """

    def __init__(self, save: Callable[[], Any], max_time: str | float | None = None) -> None:
        """
        Args:
            save: What saves the run.
            max_time: Seconds that a run may take, or a text like `"11.5h"`.

        Raises:
            IntervalError: That is no duration.
        """
        self._save = save
        self._max_time = 0.0 if max_time is None else parse_duration(max_time)
        self._before: dict[signal.Signals, Any] = {}
        self._process = 0  # The one that listens; processes that it forks inherit the handlers.
        self._asked_to_stop = False

    def attach(self, engine: Engine) -> None:
        """Listen from the start of a run of this engine to its end."""
        engine.add_event_handler(Events.STARTED | Events.EPOCH_STARTED, self._listen)
        endings = Events.TERMINATE | Events.COMPLETED | Events.INTERRUPT
        engine.add_event_handler(endings | Events.EXCEPTION_RAISED, self._stop_afterwards)

    def _listen(self, engine: Engine) -> None:
        if self._before or threading.current_thread() is not threading.main_thread():
            return
        self._process, self._asked_to_stop = os.getpid(), False

        def answer(number: int, frame: FrameType | None) -> None:
            self._answer(engine, signal.Signals(number))

        self._before = {each: signal.signal(each, answer) for each in (*STOPPING, *SAVING)}
        signal.setitimer(signal.ITIMER_REAL, self._max_time)

    def _stop_afterwards(self, engine: Engine, *error: BaseException) -> None:
        engine.call_afterwards(self._stop_listening)

    def _stop_listening(self) -> None:
        if self._before:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for each, handler in self._before.items():
            signal.signal(each, handler)
        self._before = {}

    def _answer(self, engine: Engine, number: signal.Signals) -> None:
        if os.getpid() != self._process:
            return
        if number in SAVING:
            engine.call_afterwards(lambda: self._save_and_go_on(engine, number))
        elif self._asked_to_stop:
            raise Stopped(number)
        else:
            self._asked_to_stop = number is not signal.SIGALRM
            engine.call_afterwards(lambda: self._save_and_stop(number))

    def _save_and_go_on(self, engine: Engine, number: signal.Signals) -> None:
        self._save()
        logger.info("saved after iteration %d, as %s asks", engine.state.iteration, number.name)

    def _save_and_stop(self, number: signal.Signals) -> None:
        try:
            self._save()
        except OSError as error:
            logger.error("the run could not be saved: %s: %s", error.filename, in_words(error))
        raise Stopped(number)
