"""What can happen in a run, and which of its occurrences a handler wants to hear of."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scaffold_runtime.engine import Engine

NEVER = math.inf


class EventEnum(Enum):
    """
    The base of all events; subclass it for events of your own.

    A member called with a filter gives the event narrowed to some of its
    occurrences; members joined with ``|`` give a list of events.

    >>> class TextEvents(EventEnum):
    ...     SENTENCE_READ = "sentence_read"
    >>> TextEvents.SENTENCE_READ(every=3)
    TextEvents.SENTENCE_READ(every=3)
    """

    def __call__(
        self,
        event_filter: Callable[[Engine, int], bool] | None = None,
        every: int | None = None,
        once: int | Sequence[int] | None = None,
        before: int | None = None,
        after: int | None = None,
    ) -> FilteredEvent:
        """
        Narrow this event to some of its occurrences, counted from 1.

        Args:
            event_filter: Called with the engine and the count; true means now.
            every: Each occurrence whose count is a multiple of this. Together
                with `before` or `after`: from the first inside, in such steps.
            once: The one count, or the counts.
            before: Counts smaller than this.
            after: Counts larger than this.

        Raises:
            ValueError: A number is not positive, or filters exclude each other.
        """
        return FilteredEvent(self, make_filter(event_filter, every, once, before, after))

    def __or__(self, other: EventEnum | FilteredEvent | EventsList) -> EventsList:
        return EventsList(self) | other

    def __repr__(self) -> str:
        return str(self)


class Events(EventEnum):
    """
    The events of every engine, in the order in which they happen.

    `STARTED`, then for each epoch `EPOCH_STARTED`, its iterations and
    `EPOCH_COMPLETED`, then `COMPLETED`. An iteration is `GET_BATCH_STARTED`,
    `GET_BATCH_COMPLETED`, `ITERATION_STARTED`, the step, `ITERATION_COMPLETED`.

    >>> from scaffold_runtime import Engine
    >>> engine = Engine(lambda engine, batch: print("step", batch))
    >>> for event in (Events.EPOCH_STARTED, Events.EPOCH_COMPLETED):
    ...     handle = engine.add_event_handler(event, lambda engine, name: print(name), event.value)
    >>> state = engine.run(["a"])
    epoch_started
    step a
    epoch_completed
    """

    STARTED = "started"
    EPOCH_STARTED = "epoch_started"
    GET_BATCH_STARTED = "get_batch_started"
    GET_BATCH_COMPLETED = "get_batch_completed"
    ITERATION_STARTED = "iteration_started"
    ITERATION_COMPLETED = "iteration_completed"
    EPOCH_COMPLETED = "epoch_completed"
    COMPLETED = "completed"
    DATALOADER_STOP_ITERATION = "dataloader_stop_iteration"
    """The data ended inside an epoch and is begun again."""
    TERMINATE_SINGLE_EPOCH = "terminate_single_epoch"
    """After `terminate_epoch()`; handlers get `iter_counter`, the epoch's iterations so far."""
    TERMINATE = "terminate"
    """After `terminate()`, or when `max_iters` falls inside an epoch."""
    INTERRUPT = "interrupt"
    EXCEPTION_RAISED = "exception_raised"
    """Handlers get the exception; it reaches the caller of `run` all the same."""


@dataclass(frozen=True)
class FilteredEvent:
    """An event narrowed to some of its occurrences, as in ``Events.EPOCH_COMPLETED(every=5)``."""

    event: EventEnum
    filter: Filter

    def __or__(self, other: EventEnum | FilteredEvent | EventsList) -> EventsList:
        return EventsList(self) | other

    def __repr__(self) -> str:
        return f"{self.event}({self.filter!r})"


class EventsList:
    """
    Several events that share a handler; ``|`` makes a new, longer list.

    >>> len(Events.STARTED | Events.COMPLETED | Events.EPOCH_COMPLETED(every=2))
    3
    """

    def __init__(self, *events: EventEnum | FilteredEvent) -> None:
        self._events = events

    def __iter__(self) -> Iterator[EventEnum | FilteredEvent]:
        return iter(self._events)

    def __len__(self) -> int:
        return len(self._events)

    def __or__(self, other: EventEnum | FilteredEvent | EventsList) -> EventsList:
        more = other if isinstance(other, EventsList) else (other,)
        return EventsList(*self._events, *more)

    def __repr__(self) -> str:
        return " | ".join(map(repr, self._events))


@dataclass(frozen=True)
class Every:
    """Every n-th count strictly between two others."""

    every: int = 1
    after: int | None = None
    before: int | None = None

    def __call__(self, engine: Engine, count: int) -> bool:
        return self._low < count < self._high and (count - self._offset) % self.every == 0

    def next_after(self, count: int) -> float:
        """Return the first count after this one that is due, or `NEVER`."""
        least = max(count, self._low) + 1
        candidate = least + (self._offset - least) % self.every
        return candidate if candidate < self._high else NEVER

    @cached_property
    def _offset(self) -> int:
        # As in Ignite: a window counts its steps from the first count inside it.
        windowed = self.after is not None or self.before is not None
        return self._low + 1 if windowed else 0

    @cached_property
    def _low(self) -> int:
        return -1 if self.after is None and self.before is None else self.after or 0

    @cached_property
    def _high(self) -> float:
        return NEVER if self.before is None else self.before

    def __repr__(self) -> str:
        given = {"every": self.every, "after": self.after, "before": self.before}
        return ", ".join(f"{name}={value}" for name, value in given.items() if value is not None)


@dataclass(frozen=True)
class Once:
    """The counts that are listed."""

    counts: tuple[int, ...]

    def __call__(self, engine: Engine, count: int) -> bool:
        return count in self.counts

    def next_after(self, count: int) -> float:
        """Return the first count after this one that is due, or `NEVER`."""
        return min((listed for listed in self.counts if listed > count), default=NEVER)

    def __repr__(self) -> str:
        return f"once={self.counts[0] if len(self.counts) == 1 else list(self.counts)}"


@dataclass(frozen=True)
class Where:
    """The counts that a function of the user's picks, which has to be asked each time."""

    event_filter: Callable[[Engine, int], bool]

    def __call__(self, engine: Engine, count: int) -> bool:
        return bool(self.event_filter(engine, count))

    def next_after(self, count: int) -> float:
        """Return the next count: only the function knows whether it is due."""
        return count + 1


Filter = Every | Once | Where


def make_filter(
    event_filter: Callable[[Engine, int], bool] | None,
    every: int | None,
    once: int | Sequence[int] | None,
    before: int | None,
    after: int | None,
) -> Filter:
    """Check the arguments of an event's call and return the filter they describe."""
    windowed = every is not None or before is not None or after is not None
    if (event_filter is not None) + (once is not None) + windowed != 1:
        raise ValueError(
            "give one filter: event_filter, once, or every (alone or with before and after)"
        )
    if event_filter is not None:
        return _where(event_filter)
    if once is not None:
        counts = tuple(once) if isinstance(once, Sequence) else (once,)
        if not counts:
            raise ValueError("once must name at least one count")
        return Once(tuple(_checked("once", count, least=1) for count in counts))
    return Every(
        every=1 if every is None else _checked("every", every, least=1),
        after=None if after is None else _checked("after", after, least=0),
        before=None if before is None else _checked("before", before, least=0),
    )


def _where(event_filter: Callable[[Engine, int], bool]) -> Where:
    from scaffold_runtime.listeners import accepts

    if not callable(event_filter):
        raise TypeError(f"event_filter must be a function, not {event_filter!r}")
    if not accepts(event_filter, None, 1):
        raise ValueError(f"event_filter {event_filter!r} must accept (engine, count)")
    return Where(event_filter)


def _checked(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")
    return value
