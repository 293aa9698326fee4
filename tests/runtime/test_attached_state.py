"""The state of what is attached to an engine travels with the engine's own."""

from __future__ import annotations

import pytest

from scaffold_runtime import EarlyStopping, Engine, Events


def test_one_call_saves_what_is_attached() -> None:
    """An engine's state brings back the counters of a handler that nobody listed."""
    engine, stopping = make_engine()
    engine.run([0], max_epochs=3)

    again, same_stopping = make_engine()
    again.load_state_dict(engine.state_dict())

    assert (same_stopping.counter, same_stopping.best_score) == (2, 1.0)
    assert (stopping.counter, stopping.best_score) == (2, 1.0)


def test_two_of_a_kind_are_told_apart() -> None:
    """Each of two early stoppings gets its own state back."""
    engine, first = make_engine()
    second = attach_stopping(engine, patience=9)
    engine.run([0], max_epochs=3)
    second.counter = 7

    again, same_first = make_engine()
    same_second = attach_stopping(again, patience=9)
    again.load_state_dict(engine.state_dict())

    assert (same_first.counter, same_second.counter) == (first.counter, 7)


def test_a_state_for_other_handlers_is_refused() -> None:
    """What was attached when saving and is missing now, or the reverse, is named."""
    engine, _ = make_engine()
    bare = Engine(lambda engine, batch: None)

    with pytest.raises(ValueError, match="not in both: EarlyStopping"):
        bare.load_state_dict(engine.state_dict())
    with pytest.raises(ValueError, match="not in both: EarlyStopping"):
        engine.load_state_dict(bare.state_dict())


def test_handlers_know_whether_something_goes_on() -> None:
    """`is_resuming` is true for STARTED and EPOCH_STARTED of what was under way before."""
    engine, seen = Engine(lambda engine, batch: None), []

    @engine.on(Events.STARTED | Events.EPOCH_STARTED)
    def look() -> None:
        seen.append(engine.is_resuming)

    engine.add_event_handler(Events.ITERATION_COMPLETED(once=3), engine.terminate)
    engine.run([0, 1], max_epochs=3)
    engine.run()

    # Beginning: the run, two epochs. Going on: the run, the second epoch; and the third begins.
    assert seen == [False, False, False, True, True, False]


def make_engine() -> tuple[Engine, EarlyStopping]:
    engine = Engine(lambda engine, batch: None)
    return engine, attach_stopping(engine, patience=5)


def attach_stopping(engine: Engine, patience: int) -> EarlyStopping:
    stopping = EarlyStopping(patience, lambda engine: 1.0, engine)
    engine.add_event_handler(Events.EPOCH_COMPLETED, stopping)
    return stopping
