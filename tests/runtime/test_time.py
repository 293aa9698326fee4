"""Limits and measurements of time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from scaffold_runtime import Engine, Events, TimeLimit, Timer
from scaffold_runtime.handlers import time_limit, timer


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Time stands still but for what is passed to the function."""
    now = 1000.0

    def wait(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(time_limit, "monotonic", lambda: now)
    monkeypatch.setattr(timer, "perf_counter", lambda: now)
    return wait


@pytest.mark.parametrize(("limit", "expected"), [(25, 3), ("0.5min", 4), (None, 100)])
def test_a_run_ends_when_its_time_is_over(
    clock: Callable[[float], None], limit: float | str | None, expected: int
) -> None:
    """With ten seconds an iteration, the one that ends past the limit is the last."""
    engine = Engine(lambda engine, batch: clock(10))
    engine.add_event_handler(
        Events.ITERATION_COMPLETED, TimeLimit() if limit is None else TimeLimit(limit)
    )
    assert engine.run(range(100)).iteration == expected


def test_a_timer_measures_the_run(clock: Callable[[float], None]) -> None:
    """Attached as it is, it starts with the run and stands after it."""
    watch = Timer()
    clock(7)
    engine = Engine(lambda engine, batch: clock(2))
    assert watch.attach(engine) is watch
    engine.run(range(5))
    clock(100)
    assert (watch.value(), watch.running) == (10.0, False)


def test_a_timer_measures_the_steps_alone(clock: Callable[[float], None]) -> None:
    """Paused between iterations, it gives the time of a step and the samples in a second."""
    watch = Timer(average=True, samples=len)
    engine = Engine(lambda engine, batch: clock(2))
    watch.attach(
        engine,
        start=Events.EPOCH_STARTED,
        resume=Events.ITERATION_STARTED,
        pause=Events.ITERATION_COMPLETED,
        step=Events.ITERATION_COMPLETED,
    )
    engine.add_event_handler(
        Events.GET_BATCH_STARTED, lambda: clock(0 if watch.step_count == 0 else 50)
    )
    engine.run([[1, 2, 3]] * 4)
    assert (watch.value(), watch.step_count, watch.samples_per_second()) == (2.0, 4.0, 1.5)


def test_a_timer_works_alone(clock: Callable[[float], None]) -> None:
    """It runs from when it is made, can be paused twice, and goes on from a saved state."""
    watch = Timer()
    clock(3)
    watch.pause()
    clock(5)
    watch.pause()
    watch.resume()
    clock(1)
    other = Timer()
    clock(50)
    other.load_state_dict(watch.state_dict() | {"total": 4.0})
    clock(2)
    assert (watch.reset().value(), other.value()) == (0.0, 6.0)
