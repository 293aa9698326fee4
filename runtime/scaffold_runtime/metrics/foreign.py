"""Metrics of other libraries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from scaffold_runtime.engine import Engine
from scaffold_runtime.listeners import accepts
from scaffold_runtime.metrics.metric import Metric
from scaffold_runtime.metrics.sums import copied
from scaffold_runtime.metrics.usage import MetricUsage


def attach_metric(
    engine: Engine,
    name: str,
    metric: Any,
    output_transform: Callable[[Any], Any] = lambda output: output,
    usage: MetricUsage | str | None = None,
) -> Metric:
    """
    Attach any object with `reset`, `update` and `compute`, of torchmetrics for example.

    Args:
        metric: Its `update` gets the parts of a tuple one by one if it accepts them,
            else the tuple. It must be on the outputs' device.
        output_transform: Makes what `update` takes of what the engine's step returned.
        usage: When it is reset, updated and computed; `EpochWise()` by default.

    Returns:
        The metric as one of ours: for arithmetic, `detach`, and its state.

    Raises:
        TypeError: The object lacks one of the three.

    >>> class Count:
    ...     def reset(self):
    ...         self.count = 0
    ...
    ...     def update(self, y_pred, y):
    ...         self.count += len(y)
    ...
    ...     def compute(self):
    ...         return self.count
    >>> engine = Engine(lambda engine, batch: (batch, batch))
    >>> samples = attach_metric(engine, "samples", Count())
    >>> engine.run(["ab", "cde"]).metrics
    {'samples': 5}
    """
    attached = _ForeignMetric(metric, output_transform)
    attached.attach(engine, name, usage)
    return attached


class _ForeignMetric(Metric):
    def __init__(self, metric: Any, output_transform: Callable[[Any], Any]) -> None:
        missing = [name for name in ("reset", "update", "compute") if not hasattr(metric, name)]
        if missing:
            raise TypeError(f"{type(metric).__name__} is no metric: no {', '.join(missing)}")
        self._metric = metric
        self._spreads: bool | None = None
        if hasattr(metric, "persistent"):
            metric.persistent(True)  # Or torchmetrics leaves its sums out of its state_dict.
        super().__init__(output_transform, skip_unrolling=True)

    def reset(self) -> None:
        self._metric.reset()

    def update(self, output: Any) -> None:
        if self._spreads is None:  # Asked once: looking at a signature takes microseconds.
            self._spreads = isinstance(output, tuple) and accepts(self._metric.update, *output)
        self._metric.update(*output) if self._spreads else self._metric.update(output)

    def compute(self) -> Any:
        return self._metric.compute()

    def state_dict(self) -> dict[str, Any]:
        if not hasattr(self._metric, "state_dict"):
            raise TypeError(f"{type(self._metric).__name__} cannot be saved: no state_dict")
        updates = [part._update_count for part in self._counters()]
        return {"metric": copied(self._metric.state_dict()), "updates": updates}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        self._metric.reset()
        self._metric.load_state_dict(copied(state_dict["metric"]))
        for part, updates in zip(self._counters(), state_dict["updates"], strict=True):
            part._update_count = updates
            part.to(part.device)  # The file's tensors may be on another.

    def _counters(self) -> list[Any]:
        """Return the parts that, as torchmetrics does, count updates outside their state."""
        parts = self._metric.modules() if hasattr(self._metric, "modules") else ()
        return [part for part in parts if hasattr(part, "_update_count")]
