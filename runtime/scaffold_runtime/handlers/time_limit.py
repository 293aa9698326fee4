"""End a run after a time."""

from __future__ import annotations

import logging
from time import monotonic

from scaffold_runtime.engine import Engine
from scaffold_runtime.intervals import parse_duration

logger = logging.getLogger(__name__)


class TimeLimit:
    """
    Terminate the engine after the first iteration that ends past the limit.

    The time counts from when this is made. A run that goes on later has its whole
    limit again.

    >>> from time import sleep
    >>> from scaffold_runtime import Events
    >>> engine = Engine(lambda engine, batch: sleep(0.02))
    >>> handle = engine.add_event_handler(Events.ITERATION_COMPLETED, TimeLimit("0.01s"))
    >>> engine.run(range(100)).iteration
    1
    """

    def __init__(self, limit_sec: float | str = 28800) -> None:
        """
        Args:
            limit_sec: Seconds, or a text like `"10min"` or `"1.5h"`.

        Raises:
            IntervalError: It is no duration.
        """
        self.limit_sec = parse_duration(limit_sec)
        self._end = monotonic() + self.limit_sec

    def __call__(self, engine: Engine) -> None:
        if monotonic() > self._end:
            state = engine.state
            logger.info("the run ends at iteration %d: its time is over", state.iteration)
            engine.terminate()
