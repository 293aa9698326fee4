"""Handlers: how they are attached and called, and how they are taken off again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from scaffold_runtime import Engine, Events


def test_a_handler_may_leave_out_the_engine() -> None:
    """The engine comes first when the function has room for it, then what was attached with it."""
    engine, called = make_engine(), []
    engine.add_event_handler(Events.STARTED, lambda: called.append("nothing"))
    engine.add_event_handler(Events.STARTED, lambda engine: called.append(engine))
    engine.add_event_handler(Events.STARTED, lambda engine, a: called.append((engine, a)), 1)
    engine.add_event_handler(Events.STARTED, lambda a, b: called.append((a, b)), 1, b=2)
    engine.add_event_handler(Events.STARTED, called.append, "built-in")
    engine.add_event_handler(Events.STARTED, partial(called.append, "partial"))
    engine.run([0])

    assert called == ["nothing", engine, (engine, 1), (1, 2), "built-in", "partial"]


def test_on_attaches_the_function_and_leaves_it_a_function() -> None:
    """The decorator returns what it was given, and passes arguments on."""
    engine, called = make_engine(), []

    @engine.on(Events.COMPLETED, "done", mark="!")
    def note(word: str, mark: str) -> None:
        called.append(word + mark)

    engine.run([0])
    note("called", "?")

    assert called == ["done!", "called?"]


def test_handlers_run_in_the_order_attached() -> None:
    """Plain and filtered ones alike."""
    engine, called = make_engine(), []
    for number in range(4):
        event = Events.ITERATION_COMPLETED(every=1) if number % 2 else Events.ITERATION_COMPLETED
        engine.add_event_handler(event, called.append, number)
    engine.run([0])

    assert called == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("handler", "arguments"),
    [
        (lambda engine, one, two: None, ()),
        (lambda engine, one: None, (1, 2, 3)),
        (lambda: None, (1,)),
        (lambda *, key: None, ()),
    ],
)
def test_a_handler_that_could_not_be_called_is_refused(
    handler: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    """The mistake shows when the handler is attached, not in the middle of a run."""
    with pytest.raises(ValueError, match=r"cannot handle Events.STARTED: besides the engine"):
        make_engine().add_event_handler(Events.STARTED, handler, *arguments)
    with pytest.raises(ValueError, match="cannot handle"):
        make_engine().add_event_handler(Events.STARTED, lambda engine: None, wrong="name")


def test_a_handler_must_be_a_function() -> None:
    """Anything else is refused when attached."""
    with pytest.raises(TypeError, match=r"a handler of Events.STARTED must be a function, not 3"):
        make_engine().add_event_handler(Events.STARTED, 3)  # type: ignore[arg-type]


def test_a_list_with_a_wrong_event_attaches_nothing() -> None:
    """Either all events of a list get the handler or none."""
    engine = make_engine()

    def handler() -> None: ...

    with pytest.raises(ValueError, match="cannot be filtered"):
        engine.add_event_handler(Events.STARTED | Events.TERMINATE(every=2), handler)
    assert not engine.has_event_handler(handler)


def test_an_exception_handler_may_take_the_error() -> None:
    """Handlers of EXCEPTION_RAISED take engine and error, the error, or nothing."""
    engine, called = Engine(lambda engine, batch: 1 / 0), []
    engine.add_event_handler(Events.EXCEPTION_RAISED, lambda engine, error: called.append(error))
    engine.add_event_handler(Events.EXCEPTION_RAISED, lambda error: called.append(error))
    engine.add_event_handler(Events.EXCEPTION_RAISED, lambda: called.append(None))

    with pytest.raises(ZeroDivisionError) as raised:
        engine.run([0])
    assert called == [raised.value, raised.value, None]


# --- Added and removed while an event happens -----------------------------


@pytest.mark.parametrize("event", [Events.ITERATION_COMPLETED, Events.EXCEPTION_RAISED])
def test_a_handler_added_while_its_event_happens_runs_in_it(event: Events) -> None:
    """It comes after those that were there."""
    engine, called = make_engine(fails=event is Events.EXCEPTION_RAISED), []

    def add() -> None:
        called.append("old")
        engine.add_event_handler(event, called.append, "new")

    engine.add_event_handler(event, add)
    run_anyhow(engine)

    assert called == ["old", "new"]


@pytest.mark.parametrize("event", [Events.ITERATION_COMPLETED, Events.EXCEPTION_RAISED])
def test_a_handler_removed_while_its_event_happens_does_not_run(event: Events) -> None:
    """The others run, each once, also when one removes itself."""
    engine, called = make_engine(fails=event is Events.EXCEPTION_RAISED), []

    def remove() -> None:
        called.append("first")
        itself.remove()
        victim.remove()

    itself = engine.add_event_handler(event, remove)
    victim = engine.add_event_handler(event, called.append, "victim")
    engine.add_event_handler(event, called.append, "last")
    run_anyhow(engine)

    assert called == ["first", "last"]
    assert not engine.has_event_handler(remove)


def test_a_handler_can_give_its_place_to_another_while_its_event_happens() -> None:
    """It takes itself off and attaches the other, which runs in the same firing."""
    engine, called = make_engine(), []

    def change_over() -> None:
        handle.remove()
        engine.add_event_handler(Events.ITERATION_COMPLETED, called.append, "successor")

    handle = engine.add_event_handler(Events.ITERATION_COMPLETED, change_over)
    engine.run([0, 1])

    assert called == ["successor", "successor"]


def test_a_handler_may_fire_the_event_it_handles() -> None:
    """Handlers that are taken off in the inner firing are gone from the outer one, too."""
    engine, called = make_engine(), []

    def fire_again() -> None:
        handle.remove()
        victim.remove()
        engine.fire_event(Events.COMPLETED)

    handle = engine.add_event_handler(Events.COMPLETED, fire_again)
    victim = engine.add_event_handler(Events.COMPLETED, called.append, "victim")
    engine.add_event_handler(Events.COMPLETED, called.append, "last")
    engine.run([0])

    assert called == ["last", "last"]


# --- Taking off -----------------------------------------------------------


def test_a_handle_takes_its_handler_off() -> None:
    """From all events it was attached to, and a second time without harm."""
    engine, called = make_engine(), []
    handle = engine.add_event_handler(Events.STARTED | Events.COMPLETED, called.append, 1)
    engine.run([0])
    handle.remove()
    handle.remove()
    engine.run([0])

    assert called == [1, 1]


def test_a_handle_is_a_context_manager() -> None:
    """The handler is attached inside the block only, also when the block fails."""
    engine, called = make_engine(), []
    with engine.add_event_handler(Events.COMPLETED, called.append, 1):
        engine.run([0])
    with (
        pytest.raises(KeyError),
        engine.add_event_handler(Events.COMPLETED, called.append, 2),
    ):
        raise KeyError
    engine.run([0])

    assert called == [1]


def test_a_handle_outlives_its_engine() -> None:
    """Removing after the engine is gone does nothing."""
    handle = make_engine().add_event_handler(Events.STARTED, lambda: None)

    handle.remove()


def test_a_handler_is_found_and_removed_by_its_function() -> None:
    """Also when attached with a filter, and only from the event that is named."""
    engine = make_engine()

    def handler() -> None: ...

    engine.add_event_handler(Events.EPOCH_COMPLETED(every=2), handler)
    engine.add_event_handler(Events.STARTED, handler)
    engine.remove_event_handler(handler, Events.EPOCH_COMPLETED)

    assert not engine.has_event_handler(handler, Events.EPOCH_COMPLETED)
    assert engine.has_event_handler(handler, Events.STARTED)
    assert engine.has_event_handler(handler)


def test_methods_are_the_same_handler_each_time() -> None:
    """A bound method is found although Python makes a new one at each access."""
    engine, called = make_engine(), []
    engine.add_event_handler(Events.STARTED, called.append, 1)

    engine.remove_event_handler(called.append, Events.STARTED)
    assert not engine.has_event_handler(called.append)


def test_removing_what_is_not_attached_is_refused() -> None:
    """The error names the event."""
    with pytest.raises(ValueError, match=r"is not attached to Events.STARTED"):
        make_engine().remove_event_handler(print, Events.STARTED)


# --- Helpers --------------------------------------------------------------


def make_engine(fails: bool = False) -> Engine:
    """Make an engine whose step does nothing, or fails."""
    return Engine(lambda engine, batch: 1 / 0 if fails else None)


def run_anyhow(engine: Engine) -> None:
    """Run one iteration, whatever comes of it."""
    with suppress(ZeroDivisionError):
        engine.run([0])
