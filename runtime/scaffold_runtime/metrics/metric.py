"""What every metric has in common: when it is reset, updated and computed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from scaffold_runtime.engine import Engine
from scaffold_runtime.events import EventEnum, Events


class NotComputableError(RuntimeError):
    """The metric has seen nothing yet, so it has no value."""


@dataclass(frozen=True)
class MetricUsage:
    """When an attached metric begins anew, takes up an output, and gives its value."""

    started: EventEnum
    iteration_completed: EventEnum
    completed: EventEnum


class EpochWise(MetricUsage):
    """A value for each epoch, over all of its outputs."""

    def __init__(self) -> None:
        super().__init__(Events.EPOCH_STARTED, Events.ITERATION_COMPLETED, Events.EPOCH_COMPLETED)


class RunningEpochWise(MetricUsage):
    """A value for each epoch, over everything since the run began."""

    def __init__(self) -> None:
        super().__init__(Events.STARTED, Events.ITERATION_COMPLETED, Events.EPOCH_COMPLETED)


class BatchWise(MetricUsage):
    """A value for each iteration, of its output alone."""

    def __init__(self) -> None:
        super().__init__(
            Events.ITERATION_STARTED, Events.ITERATION_COMPLETED, Events.ITERATION_COMPLETED
        )


class RunningBatchWise(MetricUsage):
    """A value after each iteration, over everything since the run began."""

    def __init__(self) -> None:
        super().__init__(Events.STARTED, Events.ITERATION_COMPLETED, Events.ITERATION_COMPLETED)


class SingleEpochRunningBatchWise(MetricUsage):
    """A value after each iteration, over the epoch so far."""

    def __init__(self) -> None:
        super().__init__(
            Events.EPOCH_STARTED, Events.ITERATION_COMPLETED, Events.ITERATION_COMPLETED
        )


class Metric(ABC):
    """
    The base of all metrics; a metric of your own defines `reset`, `update` and `compute`.

    It works alone, or attached to an engine, whose outputs it then takes up and
    whose `state.metrics` gets its value. `update` must not read a tensor's value
    (`item()`, `if tensor`), which would wait for the device; `compute` may, once.

    >>> class Largest(Metric):
    ...     def reset(self):
    ...         self.value = torch.tensor(-torch.inf)
    ...
    ...     def update(self, output):
    ...         self.value = torch.maximum(self.value, output.max())
    ...
    ...     def compute(self):
    ...         return self.value.item()
    >>> engine = Engine(lambda engine, batch: torch.tensor(batch))
    >>> Largest().attach(engine, "largest")
    >>> engine.run([[1.0, 5.0], [3.0, 2.0]]).metrics
    {'largest': 5.0}
    """

    usage: MetricUsage = EpochWise()
    required_output_keys: tuple[str, ...] = ("y_pred", "y")

    def __init__(self, output_transform: Callable[[Any], Any] = lambda output: output) -> None:
        """
        Args:
            output_transform: Makes what `update` takes of what the engine's step
                returned. A mapping is reduced to its `required_output_keys`.
        """
        self._output_transform = output_transform
        self.reset()

    @abstractmethod
    def reset(self) -> None:
        """Forget everything."""

    @abstractmethod
    def update(self, output: Any) -> None:
        """Take up the output of one iteration."""

    @abstractmethod
    def compute(self) -> Any:
        """
        Return the value over all that was taken up.

        Raises:
            NotComputableError: That is nothing.
        """

    def attach(self, engine: Engine, name: str, usage: MetricUsage | None = None) -> None:
        """Follow the engine's outputs and put the value into `state.metrics[name]`."""
        for event, handler in self._handlers(usage):
            names = (name,) if handler == self.completed else ()
            engine.add_event_handler(event, handler, *names)

    def detach(self, engine: Engine, usage: MetricUsage | None = None) -> None:
        """Stop following the engine; harmless when it was not followed."""
        for event, handler in self._handlers(usage):
            if engine.has_event_handler(handler, event):
                engine.remove_event_handler(handler, event)

    def is_attached(self, engine: Engine, usage: MetricUsage | None = None) -> bool:
        """Say whether the engine is followed."""
        return all(
            engine.has_event_handler(handler, event) for event, handler in self._handlers(usage)
        )

    def started(self, engine: Engine) -> None:
        """Begin anew."""
        self.reset()

    def iteration_completed(self, engine: Engine) -> None:
        """Take up the engine's output."""
        output = self._output_transform(engine.state.output)
        if isinstance(output, Mapping):
            output = tuple(output[key] for key in self.required_output_keys)
        self.update(output)

    def completed(self, engine: Engine, name: str) -> None:
        """Show the value; each entry of a mapping under its own name as well."""
        value = self.compute()
        if isinstance(value, Mapping):
            engine.state.metrics.update(value)
        engine.state.metrics[name] = value

    def _handlers(self, usage: MetricUsage | None) -> list[tuple[EventEnum, Callable[..., None]]]:
        usage = usage or self.usage
        return [
            (usage.started, self.started),
            (usage.iteration_completed, self.iteration_completed),
            (usage.completed, self.completed),
        ]


def sum_dtype(device: torch.device) -> torch.dtype:
    """Return the widest type for sums on a device: double, except on MPS, which has none."""
    return torch.float32 if device.type == "mps" else torch.float64
