"""How often something happens: every few iterations, epochs or minutes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from time import monotonic
from typing import Literal

from scaffold_runtime.errors import UserError
from scaffold_runtime.events import Events, FilteredEvent

UNITS = {"it": "iterations", "ep": "epochs", "s": "seconds", "min": "minutes", "h": "hours"}
ALIASES = {"iteration": "1it", "epoch": "1ep"}
SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}


class IntervalError(UserError, ValueError):
    """A text that names no interval."""


@dataclass(frozen=True)
class Interval:
    """
    A number of iterations, epochs or seconds.

    >>> Interval(2, "epochs").event()
    Events.EPOCH_COMPLETED(every=2)
    """

    count: float
    unit: Literal["iterations", "epochs", "seconds"]

    def event(self) -> FilteredEvent:
        """
        Return the event that happens at the end of each interval, for `add_event_handler`.

        Seconds are counted from the first iteration, and looked at after each.
        """
        if self.unit == "seconds":
            return Events.ITERATION_COMPLETED(event_filter=_Clock(self.count))
        each = Events.EPOCH_COMPLETED if self.unit == "epochs" else Events.ITERATION_COMPLETED
        return each(every=int(self.count))


def parse_interval(text: str | int | Interval) -> Interval:
    """
    Return the interval that a text means.

    Args:
        text: `1000` or `"1000it"` iterations, `"2ep"` epochs, `"30s"`, `"10min"`,
            `"1.5h"`; `"iteration"` and `"epoch"` are one of each.

    Raises:
        IntervalError: It is none of these.

    >>> parse_interval("10min")
    Interval(count=600.0, unit='seconds')
    >>> parse_interval(1000).event()
    Events.ITERATION_COMPLETED(every=1000)
    """
    if isinstance(text, Interval):
        return text
    number, unit = _split(text, "'epoch', 1000 (iterations), '2ep', '30s', '10min', '1h'")
    if unit in SECONDS:
        return Interval(number * SECONDS[unit], "seconds")
    if number != int(number):
        raise IntervalError(f"{UNITS[unit]} come whole, not as in {text!r}")
    return Interval(int(number), "epochs" if unit == "ep" else "iterations")


def parse_duration(text: str | float) -> float:
    """
    Return the seconds that a text, or a plain number, means.

    Raises:
        IntervalError: It is no duration.

    >>> parse_duration("1.5h"), parse_duration(20)
    (5400.0, 20.0)
    """
    number, unit = _split(text, "30 (seconds), '10min', '1.5h'", plain="s")
    if unit not in SECONDS:
        raise IntervalError(f"a duration is not counted in {UNITS[unit]}, as in {text!r}")
    return number * SECONDS[unit]


def _split(text: str | float, examples: str, plain: str = "it") -> tuple[float, str]:
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([a-z]*)", ALIASES.get(str(text), str(text)))
    unit = (match[2] or plain) if match else ""
    if match is None or unit not in UNITS:
        raise IntervalError(f"{text!r} is no interval; write it like {examples}")
    if float(match[1]) == 0:
        raise IntervalError(f"an interval is more than nothing, not {text!r}")
    return float(match[1]), unit


class _Clock:
    """An event filter: true when so many seconds have passed since it was last."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._begun: float | None = None

    def __call__(self, engine: object, count: int) -> bool:
        now = monotonic()
        if self._begun is None:
            self._begun = now
        if now - self._begun < self._seconds:
            return False
        self._begun = now
        return True
