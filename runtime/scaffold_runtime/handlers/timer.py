"""How long something takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

from scaffold_runtime.dispatcher import AnyEvent
from scaffold_runtime.engine import Engine
from scaffold_runtime.events import Events


class Timer:
    """
    Measure the time between events, in seconds, without waiting for the device.

    Alone it runs from when it is made; attached, from event to event.

    >>> from time import sleep
    >>> timer = Timer(average=True, samples=len)
    >>> engine = Engine(lambda engine, batch: sleep(0.01))
    >>> _ = timer.attach(engine, step=Events.ITERATION_COMPLETED)
    >>> state = engine.run([[1, 2, 3]] * 5)
    >>> 0.01 < timer.value() < 0.1, 30 < timer.samples_per_second() < 300
    (True, True)
    """

    def __init__(self, average: bool = False, samples: Callable[[Any], int] | None = None) -> None:
        """
        Args:
            average: `value` is the time for a step, not the whole time.
            samples: Counts the samples of a batch, for `samples_per_second`.
        """
        self.average = average
        self._count_samples = samples
        self.reset()

    def attach(
        self,
        engine: Engine,
        start: AnyEvent = Events.STARTED,
        pause: AnyEvent = Events.COMPLETED,
        resume: AnyEvent | None = None,
        step: AnyEvent | None = None,
    ) -> Timer:
        """
        Start over, pause, go on and count a step whenever these events happen.

        By default the whole run is measured. An epoch's steps without what happens
        between them: `resume=Events.ITERATION_STARTED, pause=Events.ITERATION_COMPLETED,
        step=Events.ITERATION_COMPLETED`.
        """
        engine.add_event_handler(start, self.reset)
        engine.add_event_handler(pause, self.pause)
        if resume is not None:
            engine.add_event_handler(resume, self.resume)
        if step is not None:
            engine.add_event_handler(step, self.step)
        return self

    def reset(self) -> Timer:
        """Start over, running."""
        self._total, self.step_count, self.sample_count = 0.0, 0.0, 0
        self._begun: float | None = perf_counter()
        return self

    def pause(self) -> None:
        """Stop the clock; harmless when it stands."""
        self._total, self._begun = self.total, None

    def resume(self) -> None:
        """Let the clock run on; harmless when it does."""
        if self._begun is None:
            self._begun = perf_counter()

    def step(self, engine: Engine | None = None) -> None:
        """Count one step, and the samples of the engine's batch."""
        self.step_count += 1.0
        if engine is not None and self._count_samples is not None:
            self.sample_count += self._count_samples(engine.state.batch)

    @property
    def running(self) -> bool:
        """Whether the clock runs."""
        return self._begun is not None

    @property
    def total(self) -> float:
        """The seconds that the clock ran."""
        return self._total + (0.0 if self._begun is None else perf_counter() - self._begun)

    def value(self) -> float:
        """Return the seconds in all or, with `average`, for a step."""
        return self.total / max(self.step_count, 1.0) if self.average else self.total

    def samples_per_second(self) -> float:
        """Return how many samples the counted steps had in a second."""
        total = self.total
        return self.sample_count / total if total else 0.0

    def state_dict(self) -> dict[str, float]:
        """Return the time and the counts so far."""
        counts = {"step_count": self.step_count, "sample_count": self.sample_count}
        return {"total": self.total, **counts}

    def load_state_dict(self, state_dict: Mapping[str, float]) -> None:
        """Take up what `state_dict` returned; a clock that runs goes on from there."""
        self._begun = None if self._begun is None else perf_counter()
        self._total = state_dict["total"]
        self.step_count = state_dict["step_count"]
        self.sample_count = int(state_dict["sample_count"])
