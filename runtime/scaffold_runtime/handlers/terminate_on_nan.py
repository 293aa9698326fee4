"""End a run whose numbers have become useless."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

from scaffold_runtime.engine import Engine
from scaffold_runtime.errors import UserError

logger = logging.getLogger(__name__)


class TerminateOnNan:
    """
    Terminate the engine when its output holds NaN or an infinite number.

    Attach it to `ITERATION_COMPLETED`. A tensor's value is not read in each
    iteration, which would wait for the device: what is seen is added up on the
    device, times zero, which only NaN and infinity survive, and read every
    `check_every` iterations and in the last of an epoch and of the run, where their
    lengths are known. So the end may come that many iterations late.

    >>> from scaffold_runtime import Events
    >>> engine = Engine(lambda engine, batch: batch)
    >>> handle = engine.add_event_handler(Events.ITERATION_COMPLETED, TerminateOnNan())
    >>> engine.run([1.0, math.nan, 3.0]).iteration
    2
    """

    def __init__(
        self,
        output_transform: Callable[[Any], Any] = lambda output: output,
        check_every: int = 50,
        advice: str | None = None,
    ) -> None:
        """
        Args:
            output_transform: Picks what is looked at: numbers and tensors, also
                nested in sequences and mappings. Everything else is passed over.
            check_every: Iterations between two looks at the device.
            advice: What the user could do. With it, the end is a `UserError` which says
                so: the run does not pass for one that was completed.
        """
        if check_every < 1:
            raise ValueError(f"check_every must be at least 1, not {check_every}")
        self._output_transform = output_transform
        self._check_every = check_every
        self._advice = advice
        self._traces: dict[torch.device, Tensor] = {}

    def __call__(self, engine: Engine) -> None:
        finite = True
        for value in _numbers(self._output_transform(engine.state.output)):
            if isinstance(value, Tensor):
                self._trace(value.detach())
            elif not math.isfinite(value):
                finite = False
        if finite and self._is_time_to_look(engine):
            finite = all(bool(trace.isfinite()) for trace in self._traces.values())
            self._traces.clear()
        if not finite:
            found = f"the output is not finite at iteration {engine.state.iteration}"
            if self._advice is not None:
                raise UserError(f"{found}: {self._advice}")
            logger.warning("%s: the run ends", found)
            engine.terminate()

    def state_dict(self) -> dict[str, Any]:
        """Return what was seen since the last look at the device, if anything."""
        return {str(device): trace.clone() for device, trace in self._traces.items()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take up what `state_dict` returned."""
        self._traces = {}
        for device, trace in state_dict.items():
            self._traces[torch.device(device)] = trace.to(device)

    def _trace(self, value: Tensor) -> None:
        if not (value.is_floating_point() or value.is_complex()):
            return
        zero = value * 0.0
        total = zero if zero.ndim == 0 else zero.sum()
        before = self._traces.get(value.device)
        self._traces[value.device] = total if before is None else before + total

    def _is_time_to_look(self, engine: Engine) -> bool:
        state = engine.state
        if state.iteration % self._check_every == 0 or state.iteration == state.max_iters:
            return True
        return state.epoch_length is not None and state.iteration % state.epoch_length == 0


def _numbers(output: Any) -> Iterator[Tensor | Real]:
    if isinstance(output, Tensor | Real):
        if not isinstance(output, Integral):
            yield output
    elif isinstance(output, Mapping):
        for value in output.values():
            yield from _numbers(value)
    elif isinstance(output, Iterable) and not isinstance(output, str | bytes | Iterator):
        for value in output:
            yield from _numbers(value)
