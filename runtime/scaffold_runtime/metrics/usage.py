"""When an attached metric begins anew, takes up an output, and gives its value."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scaffold_runtime.events import EventEnum, Events, FilteredEvent


@dataclass(frozen=True)
class MetricUsage:
    """
    The three events an attached metric follows.

    >>> validation = MetricUsage(Events.STARTED, Events.ITERATION_COMPLETED, Events.COMPLETED)
    >>> validation.completed
    Events.COMPLETED
    """

    started: EventEnum
    iteration_completed: EventEnum | FilteredEvent
    completed: EventEnum


class EpochWise(MetricUsage):
    """
    A value for each epoch, over all of its outputs; also called "epoch_wise".

    >>> EpochWise().started, EpochWise().completed
    (Events.EPOCH_STARTED, Events.EPOCH_COMPLETED)
    """

    def __init__(self) -> None:
        super().__init__(Events.EPOCH_STARTED, Events.ITERATION_COMPLETED, Events.EPOCH_COMPLETED)


class RunningEpochWise(MetricUsage):
    """
    A value for each epoch, over everything since the run began; also "running_epoch_wise".

    >>> RunningEpochWise().started, RunningEpochWise().completed
    (Events.STARTED, Events.EPOCH_COMPLETED)
    """

    def __init__(self) -> None:
        super().__init__(Events.STARTED, Events.ITERATION_COMPLETED, Events.EPOCH_COMPLETED)


class BatchWise(MetricUsage):
    """
    A value for each iteration, of its output alone; also "batch_wise".

    >>> BatchWise().started, BatchWise().completed
    (Events.ITERATION_STARTED, Events.ITERATION_COMPLETED)
    """

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

    def __init__(self) -> None:
        super().__init__(Events.STARTED, Events.ITERATION_COMPLETED, Events.ITERATION_COMPLETED)


class SingleEpochRunningBatchWise(MetricUsage):
    """
    A value after each iteration, over the epoch so far; also "single_epoch_running_batch_wise".

    >>> SingleEpochRunningBatchWise().started, SingleEpochRunningBatchWise().completed
    (Events.EPOCH_STARTED, Events.ITERATION_COMPLETED)
    """

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
        super().__init__(Events.EPOCH_STARTED, filtered, Events.EPOCH_COMPLETED)


USAGES: dict[str, Callable[[], MetricUsage]] = {
    "epoch_wise": EpochWise,
    "running_epoch_wise": RunningEpochWise,
    "batch_wise": BatchWise,
    "running_batch_wise": RunningBatchWise,
    "single_epoch_running_batch_wise": SingleEpochRunningBatchWise,
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
