"""A function of other metrics, as a metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from scaffold_runtime.engine import Engine
from scaffold_runtime.metrics.metric import Metric


class MetricsLambda(Metric):
    """
    The value of a function whose arguments are the values of other metrics.

    Operators between metrics, numbers and tensors make such metrics too. What it
    is made of is attached with it, and updated once per iteration, however often
    it occurs.

    >>> from scaffold_runtime import Average
    >>> engine = Engine(lambda engine, batch: batch)
    >>> MetricsLambda(round, 100 * Average(), 1).attach(engine, "percent")
    >>> engine.run([0.5, 0.25]).metrics
    {'percent': 37.5}
    """

    def __init__(
        self,
        f: Callable[..., Any],
        *args: Any,
        skip_unrolling: bool = False,
        metrics_result_mode: Literal["flatten", "named", "both"] = "both",
        **kwargs: Any,
    ) -> None:
        """
        Args:
            f: Called with the arguments that follow, metrics replaced by their values.
            skip_unrolling: Has no effect: what it is made of has its own.
            metrics_result_mode: As in `Metric`, for an `f` that returns a mapping.
        """
        self._function, self._args, self._kwargs = f, args, kwargs
        self._parts: list[Metric] = []
        super().__init__(skip_unrolling=skip_unrolling, metrics_result_mode=metrics_result_mode)
        given = (value for value in (*args, *kwargs.values()) if isinstance(value, Metric))
        self._parts += dict.fromkeys(part for metric in given for part in metric.parts())
        for part in self._parts:
            part.dependents.add(self)

    def parts(self) -> list[Metric]:
        return self._parts

    def state_dict(self) -> dict[str, Any]:
        return {str(index): part.state_dict() for index, part in enumerate(self._parts)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        for part, state in zip(self._parts, state_dict.values(), strict=True):
            part.load_state_dict(state)

    def reset(self) -> None:
        for part in self._parts:
            part.reset()

    def update(self, output: Any) -> None:
        for part in self._parts:
            part.update(output)

    def compute(self) -> Any:
        return self._value({})

    def started(self, engine: Engine) -> None:
        for part in self._parts:
            part.started(engine)

    def iteration_completed(self, engine: Engine) -> None:
        for part in self._parts:
            part.iteration_completed(engine)

    def _value(self, known: dict[Metric, Any]) -> Any:
        def value_of(given: Any) -> Any:
            if not isinstance(given, Metric):
                return given
            if given not in known:
                known[given] = (
                    given._value(known) if isinstance(given, MetricsLambda) else given.compute()
                )
            return known[given]

        kwargs = {name: value_of(given) for name, given in self._kwargs.items()}
        return self._function(*map(value_of, self._args), **kwargs)
