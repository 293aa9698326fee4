"""An average that forgets: for showing how a noisy number develops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from scaffold_runtime.engine import Engine
from scaffold_runtime.metrics.metric import Metric, NotComputableError
from scaffold_runtime.metrics.usage import (
    EpochWise,
    MetricUsage,
    RunningBatchWise,
    RunningEpochWise,
    SingleEpochRunningBatchWise,
)


class RunningAverage(Metric):
    """
    An exponential moving average of the engine's output, or of another metric.

    The first value counts whole; then `average = alpha * average + (1 - alpha) * value`.
    The average of tensors is a tensor on their device: nothing waits for it until
    somebody shows it.

    >>> engine = Engine(lambda engine, batch: batch)
    >>> RunningAverage(alpha=0.5).attach(engine, "smooth")
    >>> engine.run([4.0, 2.0, 6.0]).metrics
    {'smooth': 4.5}
    """

    state_attributes = ("_value",)

    def __init__(
        self,
        src: Metric | None = None,
        alpha: float = 0.98,
        output_transform: Callable[[Any], Any] = lambda output: output,
        epoch_bound: bool = True,
        device: str | torch.device | None = None,
        skip_unrolling: bool = False,
    ) -> None:
        """
        Args:
            src: A metric of its own whose value for each iteration is averaged;
                by default the output is.
            alpha: The share that the average so far keeps, between 0 and 1.
            output_transform: Makes the number of what the step returned.
            epoch_bound: Begin anew in every epoch.
            device: Where the average is kept; by default where the outputs are.
            skip_unrolling: Has no effect: an output is taken as it is.

        Raises:
            ValueError: `alpha` is not between 0 and 1.
        """
        if not 0.0 < alpha <= 1.0:
            raise ValueError(f"alpha must be between 0 and 1, not {alpha}")
        self._src = src
        self._alpha = alpha
        self.usage: MetricUsage = (
            SingleEpochRunningBatchWise() if epoch_bound else RunningBatchWise()
        )
        super().__init__(output_transform, device, skip_unrolling)

    def reset(self) -> None:
        self._value: Any = None

    def _updates(self, usage: MetricUsage | str | None) -> list[tuple[Any, Callable[..., None]]]:
        usage = self._usage(usage)
        if self._src is None or not isinstance(usage, RunningEpochWise):
            return super()._updates(usage)
        # The average of the epochs' values, not of the iterations'.
        source = EpochWise()
        return [
            (usage.started, self.started),
            (source.started, self._src.started),
            (source.iteration_completed, self._src.iteration_completed),
            (source.completed, self._take_up_source),
        ]

    def _take_up_source(self) -> None:
        if self._src is not None:
            self.update(self._src.compute())

    def iteration_completed(self, engine: Engine) -> None:
        if self._src is None:
            self.update(self._output_transform(engine.state.output))
            return
        self._src.reset()
        self._src.iteration_completed(engine)
        self.update(self._src.compute())

    def update(self, output: Any) -> None:
        if isinstance(output, Tensor):
            output = self._keep(output.detach() if output.is_floating_point() else output.float())
        before = self._value
        if before is None:
            # A step may write its next output into the same tensor.
            self._value = output.clone() if isinstance(output, Tensor) else output
        elif isinstance(output, Tensor):
            if before.device != output.device:
                before = before.to(output.device)
            self._value = torch.lerp(output, before, self._alpha)
        else:
            self._value = self._alpha * before + (1.0 - self._alpha) * output

    def compute(self) -> Any:
        if self._value is None:
            raise NotComputableError("RunningAverage has no value: it has seen no output")
        return self._value

    def completed(self, engine: Engine, name: str) -> None:
        engine.state.metrics[name] = self._value
