"""When an attached metric begins anew, takes up an output, and gives its value."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from scaffold_runtime.events import EventEnum, Events, FilteredEvent


@dataclass(frozen=True)
class MetricUsage:
    """
    The three events at which a metric begins anew, gives its value and takes up an output.

    >>> whole_run = MetricUsage(Events.STARTED, Events.COMPLETED, Events.ITERATION_COMPLETED)
    >>> whole_run.completed
    Events.COMPLETED
    """

    usage_name: ClassVar[str]
    started: EventEnum
    completed: EventEnum
    iteration_completed: EventEnum | FilteredEvent

    @property
    def STARTED(self) -> EventEnum:
        """`started`, as Ignite spells it."""
        return self.started

    @property
    def COMPLETED(self) -> EventEnum:
        """`completed`, as Ignite spells it."""
        return self.completed

    @property
    def ITERATION_COMPLETED(self) -> EventEnum | FilteredEvent:
        """`iteration_completed`, as Ignite spells it."""
        return self.iteration_completed


class EpochWise(MetricUsage):
    """
    A value for each epoch, over all of its outputs; also called "epoch_wise".

    >>> EpochWise().started, EpochWise().completed
    (Events.EPOCH_STARTED, Events.EPOCH_COMPLETED)
    """

    usage_name = "epoch_wise"

    def __init__(self) -> None:
        super().__init__(Events.EPOCH_STARTED, Events.EPOCH_COMPLETED, Events.ITERATION_COMPLETED)


class RunningEpochWise(MetricUsage):
    """
    A value for each epoch, over everything since the run began; also "running_epoch_wise".

    >>> RunningEpochWise().started, RunningEpochWise().completed
    (Events.STARTED, Events.EPOCH_COMPLETED)
    """

    usage_name = "running_epoch_wise"

    def __init__(self) -> None:
        super().__init__(Events.STARTED, Events.EPOCH_COMPLETED, Events.ITERATION_COMPLETED)


class BatchWise(MetricUsage):
    """
    A value for each iteration, of its output alone; also "batch_wise".

    >>> BatchWise().started, BatchWise().completed
    (Events.ITERATION_STARTED, Events.ITERATION_COMPLETED)
    """

    usage_name = "batch_wise"

    def __init__(self) -> None:
        super().__init__(
            Events.ITERATION_STARTED, Events.ITERATION_COMPLETED, Events.ITERATION_COMPLETED
        )


class RunningBatchWise(MetricUsage):
    """
    A value after each iteration, over everything since the run began; also "running_batch_wise".

    >>> RunningBatchWise().started, RunningBatchWise().completed
    (Events.STARTED, Events.ITERATION_COMPLETED)
    """

    usage_name = "running_batch_wise"

    def __init__(self) -> None:
        super().__init__(Events.STARTED, Events.ITERATION_COMPLETED, Events.ITERATION_COMPLETED)


class SingleEpochRunningBatchWise(MetricUsage):
    """
    A value after each iteration, over the epoch so far; also "single_epoch_running_batch_wise".

    >>> SingleEpochRunningBatchWise().started, SingleEpochRunningBatchWise().completed
    (Events.EPOCH_STARTED, Events.ITERATION_COMPLETED)
    """

    usage_name = "single_epoch_running_batch_wise"

    def __init__(self) -> None:
        super().__init__(
            Events.EPOCH_STARTED, Events.ITERATION_COMPLETED, Events.ITERATION_COMPLETED
        )


class BatchFiltered(MetricUsage):
    """
    A value for each epoch, over some of its iterations, chosen as an event's call does.

    >>> BatchFiltered(every=10).iteration_completed
    Events.ITERATION_COMPLETED(every=10)
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        filtered = Events.ITERATION_COMPLETED(*args, **kwargs)
        super().__init__(Events.EPOCH_STARTED, Events.EPOCH_COMPLETED, filtered)


USAGES: dict[str, Callable[[], MetricUsage]] = {
    usage.usage_name: usage
    for usage in (
        EpochWise,
        RunningEpochWise,
        BatchWise,
        RunningBatchWise,
        SingleEpochRunningBatchWise,
    )
}


def usage_named(usage: MetricUsage | str) -> MetricUsage:
    """
    Return the usage of that name, or the usage that was given.

    Raises:
        ValueError: There is none of that name; the message has the nearest.
    """
    if isinstance(usage, MetricUsage):
        return usage
    if usage not in USAGES:
        nearest = difflib.get_close_matches(str(usage), USAGES, 1, cutoff=0.0)[0]
        raise ValueError(f"there is no usage {usage!r}; did you mean {nearest!r}?")
    return USAGES[usage]()
