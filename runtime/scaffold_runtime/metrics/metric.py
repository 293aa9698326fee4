"""What every metric has in common: how it follows an engine, and how its state is saved."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Literal
from weakref import WeakSet

import torch
from torch import Tensor

from scaffold_runtime.engine import Engine
from scaffold_runtime.metrics.arithmetic import Arithmetic
from scaffold_runtime.metrics.sums import copied
from scaffold_runtime.metrics.unrolling import are_samples, in_batches
from scaffold_runtime.metrics.usage import EpochWise, MetricUsage, usage_named

RESULT_MODES = ("flatten", "named", "both")


class NotComputableError(RuntimeError):
    """
    The metric has seen nothing yet, so it has no value.

    >>> from scaffold_runtime import Accuracy
    >>> Accuracy().compute()
    Traceback (most recent call last):
    scaffold_runtime.metrics.metric.NotComputableError: Accuracy has no value: it has seen no sample
    """


class Metric(Arithmetic, ABC):
    """
    The base of all metrics; a metric of your own defines `reset`, `update` and `compute`.

    It works alone, or attached to an engine, whose outputs it then takes up and
    whose `state.metrics` gets its value. `update` must not read a tensor's value
    (`item()`, `if tensor`), which would wait for the device; `compute` may, once.
    A run that goes on in the middle of an epoch goes on counting: what `reset` makes
    is saved with the engine.

    >>> import torch
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
    >>> (10 - Largest()).attach(engine, "room")
    >>> engine.run([[1.0, 5.0], [3.0, 2.0]]).metrics
    {'largest': 5.0, 'room': 5.0}
    """

    usage: MetricUsage = EpochWise()
    required_output_keys: tuple[str, ...] | None = ("y_pred", "y")
    """What is taken of an output that is a mapping; None takes it as it is."""
    state_attributes: tuple[str, ...] | None = None
    """What is saved: tensors, plain values, lists of them; by default what `reset` makes."""

    def __init__(
        self,
        output_transform: Callable[[Any], Any] = lambda output: output,
        device: str | torch.device | None = None,
        skip_unrolling: bool = False,
        metrics_result_mode: Literal["flatten", "named", "both"] = "both",
    ) -> None:
        """
        Args:
            output_transform: Makes what `update` takes of what the engine's step
                returned. A mapping is reduced to its `required_output_keys`.
            device: Where sums are kept; by default where the outputs are, which is
                the fastest: on another device, each `update` copies to it.
            skip_unrolling: Take an output of two lists, of tensors or numbers, as it
                is, and not as one sample after the other.
            metrics_result_mode: Where a value that is a mapping goes in `state.metrics`:
                under the metric's "named", under its own keys ("flatten"), or "both".

        Raises:
            ValueError: There is no such `metrics_result_mode`.
        """
        if metrics_result_mode not in RESULT_MODES:
            raise ValueError(
                f"metrics_result_mode must be one of {RESULT_MODES}, not {metrics_result_mode!r}"
            )
        self._output_transform = output_transform
        self._device = None if device is None else torch.device(device)
        self._skip_unrolling = skip_unrolling
        self._metrics_result_mode = metrics_result_mode
        self.dependents: WeakSet[Metric] = WeakSet()  # The metrics that are made of this one.
        self._made_by_reset = _reset_for_names(self)

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

    # --- Following an engine ----------------------------------------------

    def attach(self, engine: Engine, name: str, usage: MetricUsage | str | None = None) -> None:
        """
        Follow the engine's outputs and put the value into `state.metrics[name]`.

        Args:
            usage: When; by default `self.usage`, which is `EpochWise()` for most.
        """
        for part in self.parts():
            for event, handler in part._updates(usage):
                if not engine.has_event_handler(handler, event):
                    engine.add_event_handler(event, handler)
        engine.add_event_handler(self._usage(usage).completed, self.completed, name)

    def detach(self, engine: Engine, usage: MetricUsage | str | None = None) -> None:
        """
        Stop following the engine; harmless when it was not followed.

        What others that are still attached are made of goes on being updated.
        """
        _remove(engine, self._usage(usage).completed, self.completed)
        for part in self.parts():
            if not any(engine.has_event_handler(m.completed) for m in (part, *part.dependents)):
                for event, handler in part._updates(usage):
                    _remove(engine, event, handler)

    def is_attached(self, engine: Engine, usage: MetricUsage | str | None = None) -> bool:
        """Say whether the engine is followed."""
        return engine.has_event_handler(self.completed, self._usage(usage).completed) and all(
            engine.has_event_handler(handler, event)
            for part in self.parts()
            for event, handler in part._updates(usage)
        )

    def parts(self) -> list[Metric]:
        """Return the metrics that are updated for this one: itself, or what it is made of."""
        return [self]

    def started(self, engine: Engine) -> None:
        """Begin anew, unless the engine goes on with what was begun before."""
        if not engine.is_resuming:
            self.reset()

    def iteration_completed(self, engine: Engine) -> None:
        """Take up the engine's output, without its graph."""
        enabled = torch.is_grad_enabled()
        torch._C._set_grad_enabled(False)  # What `torch.no_grad` does, in a fifth of its time.
        try:
            output = self._output_transform(engine.state.output)
            if type(output) is tuple and output and isinstance(output[0], Tensor):
                self.update(output)  # As nearly always: no need to look further.
            else:
                self._take_up(output)
        finally:
            torch._C._set_grad_enabled(enabled)

    def completed(self, engine: Engine, name: str) -> None:
        """Show the value; each entry of a mapping under its own name as well."""
        value, mode = self.compute(), self._metrics_result_mode
        if isinstance(value, Mapping) and mode != "named":
            engine.state.metrics.update(value)
        if not isinstance(value, Mapping) or mode != "flatten":
            engine.state.metrics[name] = value

    def _take_up(self, output: Any) -> None:
        if self.required_output_keys is not None and isinstance(output, Mapping):
            output = tuple(output[key] for key in self.required_output_keys)
        if not self._skip_unrolling and are_samples(output):
            for sample in in_batches(output):
                self.update(sample)
        else:
            self.update(output)

    def _keep(self, value: Tensor) -> Tensor:
        """Return a value where sums are kept."""
        return value if self._device is None else value.to(self._device)

    def _usage(self, usage: MetricUsage | str | None) -> MetricUsage:
        return self.usage if usage is None else usage_named(usage)

    def _updates(self, usage: MetricUsage | str | None) -> list[tuple[Any, Callable[..., None]]]:
        usage = self._usage(usage)
        return [
            (usage.started, self.started),
            (usage.iteration_completed, self.iteration_completed),
        ]

    # --- State ------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """
        Return a copy of all that `reset` would forget: tensors and plain values.
        """
        return {name: copied(getattr(self, name)) for name in self._state_attributes()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """
        Go on counting from a state that `state_dict` returned.

        Raises:
            ValueError: It is the state of another kind of metric.
        """
        names = self._state_attributes()
        if set(state_dict) != set(names):
            found = ", ".join(state_dict) or "nothing"
            raise ValueError(f"{type(self).__name__} is made of {', '.join(names)}, not {found}")
        for name in names:
            setattr(self, name, copied(state_dict[name]))

    def _state_attributes(self) -> tuple[str, ...]:
        return self._made_by_reset if self.state_attributes is None else self.state_attributes


def _reset_for_names(metric: Metric) -> tuple[str, ...]:
    """
    Reset a metric and return the names of the attributes that `reset` sets.

    They may have been there before: many metrics set them to None or 0 in their
    constructor, so neither new names nor changed values tell.
    """
    kind: Any = type(metric)
    names: dict[str, None] = {}

    def set_and_note(self: Metric, name: str, value: Any) -> None:
        names[name] = None
        kind.__setattr__(self, name, value)

    metric.__class__ = type(kind.__name__, (kind,), {"__setattr__": set_and_note})
    try:
        metric.reset()
    finally:
        object.__setattr__(metric, "__class__", kind)  # Not to be noted.
    return tuple(names)


def _remove(engine: Engine, event: Any, handler: Callable[..., None]) -> None:
    if engine.has_event_handler(handler, event):
        engine.remove_event_handler(handler, event)
