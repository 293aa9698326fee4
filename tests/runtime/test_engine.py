"""An engine: what it runs, refuses, tells, and where its state stands."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from scaffold_runtime import Engine, Events, State


def test_the_step_gets_every_batch_and_its_result_is_the_output() -> None:
    """Batch, output and counters are in the state while the step's events happen."""
    engine = Engine(lambda engine, batch: 2 * batch)
    seen: list[tuple[int, int, int, int]] = []
    engine.add_event_handler(
        Events.ITERATION_COMPLETED,
        lambda engine: seen.append(
            (engine.state.epoch, engine.state.iteration, engine.state.batch, engine.state.output)
        ),
    )
    state = engine.run([10, 20], max_epochs=2)

    assert seen == [(1, 1, 10, 20), (1, 2, 20, 40), (2, 3, 10, 20), (2, 4, 20, 40)]
    assert state is engine.state
    assert (state.epoch_length, state.max_epochs, state.max_iters) == (2, 2, None)


def test_a_run_has_one_epoch_unless_told_otherwise() -> None:
    """Without limits the data is gone through once."""
    assert processed([1, 2, 3]) == [1, 2, 3]


@pytest.mark.parametrize(
    ("limits", "batches"),
    [
        ({"max_epochs": 2}, [0, 1, 2, 0, 1, 2]),
        ({"max_iters": 4}, [0, 1, 2, 0]),
        ({"max_iters": 2}, [0, 1]),
        ({"max_epochs": 2, "epoch_length": 2}, [0, 1, 2, 0]),
        ({"max_epochs": 1, "epoch_length": 5}, [0, 1, 2, 0, 1]),
        ({"max_iters": 4, "epoch_length": 2}, [0, 1, 2, 0]),
    ],
)
@pytest.mark.parametrize("known_length", [True, False])
def test_the_limits_say_which_batches_are_trained(
    limits: dict[str, int], batches: list[int], known_length: bool
) -> None:
    """Data with and without a length give the same batches."""
    data: Any = [0, 1, 2] if known_length else WithoutLength([0, 1, 2])

    assert processed(data, **limits) == batches


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"data": None}, r"run\(\) without data needs epoch_length"),
        ({"data": []}, "the data is empty"),
        ({"data": iter([])}, "the data is empty"),
        ({"data": iter([]), "epoch_length": 3}, "the data is empty"),
        ({"data": [1], "max_epochs": 0}, "max_epochs must be a whole number of at least 1, not 0"),
        ({"data": [1], "max_epochs": -1}, "max_epochs must be"),
        ({"data": [1], "max_epochs": 1.5}, "max_epochs must be"),
        ({"data": [1], "max_iters": 0}, "max_iters must be"),
        ({"data": [1], "epoch_length": 0}, "epoch_length must be"),
        ({"data": [1], "max_epochs": 3, "max_iters": 4}, "max_epochs or max_iters, not both"),
    ],
)
def test_a_run_that_cannot_be_meant_is_refused(arguments: dict[str, Any], complaint: str) -> None:
    """Empty data and limits that contradict each other are refused in one line."""
    engine = Engine(lambda engine, batch: None)

    with pytest.raises(ValueError, match=complaint):
        engine.run(**arguments)


def test_a_refused_run_does_not_stand_in_the_way_of_the_next() -> None:
    """After empty data the engine runs on other data."""
    engine, batches = recording()
    for empty in ([], iter([])):
        with pytest.raises(ValueError, match="empty"):
            engine.run(empty)
    engine.run([7, 8])

    assert batches == [7, 8]


def test_the_step_must_accept_engine_and_batch() -> None:
    """What cannot be a step is refused when the engine is made."""
    with pytest.raises(TypeError, match="process_function must be a function, not None"):
        Engine(None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"must accept \(engine, batch\)"):
        Engine(lambda engine: None)  # type: ignore[arg-type, misc]


# --- Other data, other engines --------------------------------------------


@pytest.mark.parametrize(
    ("event", "batches"),
    [
        (Events.GET_BATCH_STARTED, [0, 10, 11, 10]),
        (Events.GET_BATCH_COMPLETED, [0, 1, 10, 11]),
        (Events.ITERATION_STARTED, [0, 10, 11, 10]),
        (Events.ITERATION_COMPLETED, [0, 10, 11, 10]),
    ],
)
def test_set_data_counts_from_the_next_batch(event: Events, batches: list[int]) -> None:
    """The batch that was fetched already is trained, then the other data begins."""
    engine, trained = recording()
    engine.add_event_handler(event(once=1), lambda engine: engine.set_data([10, 11]))
    engine.run([0, 1, 2, 3])

    assert trained == batches


@pytest.mark.parametrize("event", [Events.GET_BATCH_COMPLETED, Events.ITERATION_STARTED])
def test_data_that_was_set_is_not_skipped_by_a_resumed_run(event: Events) -> None:
    """A run that is saved after set_data goes on with the batch that would have followed."""
    engine, trained = recording()
    engine.add_event_handler(event(once=2), lambda engine: engine.set_data([10, 11, 12]))
    engine.add_event_handler(Events.ITERATION_COMPLETED(once=4), Engine.terminate)
    engine.run([0, 1, 2, 3, 4, 5])
    resumed, rest = recording()
    resumed.load_state_dict(engine.state_dict())
    resumed.run([10, 11, 12])
    engine.run()

    assert rest == trained[4:]


def test_a_state_saved_before_the_last_batch_of_the_old_data_is_trained_can_be_loaded() -> None:
    """The resumed run has the other data alone, and begins at its beginning."""
    engine, _ = recording()
    saved: list[dict[str, Any]] = []
    engine.add_event_handler(Events.ITERATION_STARTED(once=2), lambda: engine.set_data([10, 11]))
    engine.add_event_handler(
        Events.ITERATION_STARTED(once=2), lambda: saved.append(engine.state_dict())
    )
    engine.run([0, 1, 2])
    resumed, rest = recording()
    resumed.load_state_dict(saved[0])
    resumed.run([10, 11])

    assert rest == [10, 11]


def test_data_set_when_the_data_ends_replaces_it() -> None:
    """Ignite's recipe to switch data: set it when the old data has ended."""
    engine, trained = recording()
    engine.add_event_handler(
        Events.DATALOADER_STOP_ITERATION, lambda engine: engine.set_data(iter([10, 11]))
    )
    engine.run(iter([0, 1]), max_epochs=1, epoch_length=4)

    assert trained == [0, 1, 10, 11]


def test_an_engine_runs_inside_a_handler_of_another() -> None:
    """The inner run has its own state and does not disturb the outer."""
    outer, trained = recording()
    inner, evaluated = recording()
    outer.add_event_handler(Events.EPOCH_COMPLETED, lambda: inner.run([7, 8]))
    state = outer.run([0, 1], max_epochs=2)

    assert (trained, evaluated) == ([0, 1, 0, 1], [7, 8, 7, 8])
    assert (state.epoch, state.iteration, inner.state.epoch) == (2, 4, 1)


def test_an_engine_does_not_run_inside_itself() -> None:
    """The mistake is named, and the engine can run afterwards."""
    engine = Engine(lambda engine, batch: None)
    with (
        engine.add_event_handler(Events.ITERATION_STARTED, lambda engine: engine.run([1])),
        pytest.raises(RuntimeError, match="this engine is running"),
    ):
        engine.run([0])

    assert engine.run([0, 1], max_epochs=2).epoch == 2


# --- State ----------------------------------------------------------------


def test_the_times_are_those_of_the_last_epoch_and_the_run() -> None:
    """Both are there when their event happens, the run's at least as long as its epochs."""
    engine, epochs = Engine(lambda engine, batch: spin(0.002)), []
    engine.add_event_handler(
        Events.EPOCH_COMPLETED, lambda: epochs.append(engine.state.times["EPOCH_COMPLETED"])
    )
    whole: list[float] = []
    engine.add_event_handler(
        Events.COMPLETED, lambda: whole.append(engine.state.times["COMPLETED"])
    )
    engine.run([0, 1], max_epochs=2)

    assert len(epochs) == 2
    assert min(epochs) >= 0.004
    assert whole[0] >= sum(epochs)


def test_the_state_holds_what_a_user_adds_and_shows_it() -> None:
    """Plain values appear in the representation, others by their type."""
    state = State(best=0.9, table=[1])

    assert (state.best, state.iteration) == (0.9, 0)
    assert "best: 0.9" in repr(state)
    assert "table: list" in repr(state)


def test_an_engine_is_freed_when_dropped() -> None:
    """Nothing attached to an engine forms a cycle that keeps it alive, nor does a handle."""
    engine = Engine(lambda engine, batch: None)
    handle = engine.add_event_handler(Events.EPOCH_COMPLETED(every=2), lambda engine: None)
    engine.run([0, 1])
    dropped = weakref.ref(engine)
    gc.disable()
    try:
        del engine
        assert dropped() is None
    finally:
        gc.enable()
    handle.remove()


# --- Helpers --------------------------------------------------------------


class WithoutLength:
    """Data that can be gone through again and again, but does not know its length."""

    def __init__(self, batches: list[int]) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[int]:
        return iter(self._batches)


def recording() -> tuple[Engine, list[Any]]:
    """Make an engine, and the list of the batches it has trained."""
    batches: list[Any] = []
    return Engine(lambda engine, batch: batches.append(batch)), batches


def processed(data: Any, **limits: int) -> list[Any]:
    """Return the batches of one run."""
    engine, batches = recording()
    engine.run(data, **limits)
    return batches


def spin(seconds: float) -> None:
    """Take at least so long."""
    begun = time.perf_counter()
    while time.perf_counter() - begun < seconds:
        pass
