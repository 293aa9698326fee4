"""The events of a run: their order, and which of their occurrences a handler hears of."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from scaffold_runtime import Engine, EventEnum, Events

# --- Order. The expectations were recorded from PyTorch-Ignite 0.5. -------


def test_an_epoch_is_batches_and_steps_between_its_two_events() -> None:
    """Two epochs over two batches give the events in Ignite's order, with its counts."""
    assert trace([0, 1], max_epochs=2) == (
        "STARTED[0,0] "
        "EPOCH_STARTED[1,0] gs[1,0] gc[1,0] is[1,1] step0 ic[1,1] "
        "gs[1,1] gc[1,1] is[1,2] step1 ic[1,2] EPOCH_COMPLETED[1,2] "
        "EPOCH_STARTED[2,2] gs[2,2] DATALOADER_STOP_ITERATION[2,2] gc[2,2] is[2,3] step0 ic[2,3] "
        "gs[2,3] gc[2,3] is[2,4] step1 ic[2,4] EPOCH_COMPLETED[2,4] "
        "COMPLETED[2,4]"
    )


def test_an_epoch_may_be_shorter_than_the_data() -> None:
    """The next epoch goes on where the last one stood in the data."""
    assert trace([0, 1, 2], max_epochs=3, epoch_length=2) == (
        "STARTED[0,0] "
        "EPOCH_STARTED[1,0] gs[1,0] gc[1,0] is[1,1] step0 ic[1,1] "
        "gs[1,1] gc[1,1] is[1,2] step1 ic[1,2] EPOCH_COMPLETED[1,2] "
        "EPOCH_STARTED[2,2] gs[2,2] gc[2,2] is[2,3] step2 ic[2,3] "
        "gs[2,3] DATALOADER_STOP_ITERATION[2,3] gc[2,3] is[2,4] step0 ic[2,4] "
        "EPOCH_COMPLETED[2,4] "
        "EPOCH_STARTED[3,4] gs[3,4] gc[3,4] is[3,5] step1 ic[3,5] "
        "gs[3,5] gc[3,5] is[3,6] step2 ic[3,6] EPOCH_COMPLETED[3,6] "
        "COMPLETED[3,6]"
    )


def test_an_epoch_may_be_longer_than_the_data() -> None:
    """At the end of the data it is begun again inside the epoch."""
    assert trace([0, 1], max_epochs=1, epoch_length=3) == (
        "STARTED[0,0] "
        "EPOCH_STARTED[1,0] gs[1,0] gc[1,0] is[1,1] step0 ic[1,1] "
        "gs[1,1] gc[1,1] is[1,2] step1 ic[1,2] "
        "gs[1,2] DATALOADER_STOP_ITERATION[1,2] gc[1,2] is[1,3] step0 ic[1,3] "
        "EPOCH_COMPLETED[1,3] COMPLETED[1,3]"
    )


def test_data_of_unknown_length_shows_it_in_the_first_epoch() -> None:
    """Data that can be begun again, but has no length, is gone through once in each epoch."""
    assert trace(WithoutLength([0, 1]), max_epochs=2) == (
        "STARTED[0,0] "
        "EPOCH_STARTED[1,0] gs[1,0] gc[1,0] is[1,1] step0 ic[1,1] "
        "gs[1,1] gc[1,1] is[1,2] step1 ic[1,2] gs[1,2] EPOCH_COMPLETED[1,2] "
        "EPOCH_STARTED[2,2] gs[2,2] DATALOADER_STOP_ITERATION[2,2] gc[2,2] is[2,3] step0 ic[2,3] "
        "gs[2,3] gc[2,3] is[2,4] step1 ic[2,4] EPOCH_COMPLETED[2,4] "
        "COMPLETED[2,4]"
    )


def test_an_iterator_that_is_used_up_ends_the_run(caplog: pytest.LogCaptureFixture) -> None:
    """The run ends with a warning and, unlike in Ignite, without an epoch that had no batch."""
    assert trace(iter([0, 1, 2]), max_epochs=2) == (
        "STARTED[0,0] "
        "EPOCH_STARTED[1,0] gs[1,0] gc[1,0] is[1,1] step0 ic[1,1] "
        "gs[1,1] gc[1,1] is[1,2] step1 ic[1,2] gs[1,2] gc[1,2] is[1,3] step2 ic[1,3] "
        "gs[1,3] EPOCH_COMPLETED[1,3] "
        "EPOCH_STARTED[2,3] gs[2,3] DATALOADER_STOP_ITERATION[2,3] TERMINATE[2,3] COMPLETED[2,3]"
    )
    assert caplog.messages == ["the data ended after iteration 3 of a run of 2 epochs"]


def test_an_iterator_that_is_used_up_inside_an_epoch_completes_it() -> None:
    """What was trained of the epoch is completed before the run ends."""
    events = trace(iter([0, 1, 2]), max_epochs=2, epoch_length=2)

    assert "step2 ic[2,3] gs[2,3] DATALOADER_STOP_ITERATION[2,3] EPOCH_COMPLETED[2,3]" in events
    assert events.endswith("COMPLETED[2,3]")


def test_max_iters_at_the_end_of_an_epoch_completes_it() -> None:
    """The epoch is completed and nothing is terminated."""
    assert trace([0, 1], max_iters=4).endswith("ic[2,4] EPOCH_COMPLETED[2,4] COMPLETED[2,4]")


def test_max_iters_inside_an_epoch_terminates_the_run() -> None:
    """The epoch is left open."""
    assert trace([0, 1], max_iters=3).endswith("ic[2,3] TERMINATE[2,3] COMPLETED[2,3]")


def test_an_infinite_iterator_is_drawn_from_no_more_than_needed() -> None:
    """A batch is fetched for each iteration and none beyond."""
    numbers = itertools.count()
    engine = Engine(lambda engine, batch: None)

    engine.run(numbers, max_epochs=2, epoch_length=3)

    assert next(numbers) == 6


def test_without_data_there_is_nothing_to_fetch() -> None:
    """With None as the data no batch is asked for, and the step gets None."""
    assert trace(None, max_epochs=1, epoch_length=2) == (
        "STARTED[0,0] EPOCH_STARTED[1,0] is[1,1] stepNone ic[1,1] is[1,2] stepNone ic[1,2] "
        "EPOCH_COMPLETED[1,2] COMPLETED[1,2]"
    )


@pytest.mark.parametrize(
    ("event", "ending"),
    [
        ("EPOCH_STARTED", "EPOCH_STARTED[1,0]"),
        ("GET_BATCH_STARTED", "ic[1,1] gs[1,1]"),
        ("GET_BATCH_COMPLETED", "ic[1,1] gs[1,1] gc[1,1]"),
        ("ITERATION_STARTED", "gc[1,0] is[1,1]"),
        ("ITERATION_COMPLETED", "step0 ic[1,1]"),
        ("EPOCH_COMPLETED", "step2 ic[1,3] EPOCH_COMPLETED[1,3]"),
    ],
)
def test_terminate_ends_the_run_after_the_event_under_way(event: str, ending: str) -> None:
    """Whichever event it is called in, only TERMINATE and COMPLETED follow."""
    count = 0 if event == "EPOCH_STARTED" else 3 if event == "EPOCH_COMPLETED" else 1
    events = trace([0, 1, 2], max_epochs=2, at=(event, count), call="terminate")

    assert events.rsplit(" TERMINATE[")[0].endswith(ending)
    place = ending[ending.rindex("[") :]
    assert events.endswith(f"{ending} TERMINATE{place} COMPLETED{place}")


def test_terminate_can_leave_out_completed() -> None:
    """With skip_completed TERMINATE is the last event."""
    engine, heard = Engine(lambda engine, batch: engine.terminate(skip_completed=True)), []
    for event in (Events.TERMINATE, Events.COMPLETED):
        engine.add_event_handler(event, heard.append, event)
    engine.run([0, 1])

    assert heard == [Events.TERMINATE]


@pytest.mark.parametrize(
    ("event", "left", "next_epoch"),
    [
        (
            "GET_BATCH_STARTED",
            "gs[1,1] TERMINATE_SINGLE_EPOCH[1,1](iter_counter=1) EPOCH_COMPLETED[1,1] ",
            "EPOCH_STARTED[2,1] gs[2,1] TERMINATE_SINGLE_EPOCH[2,1](iter_counter=0) "
            "EPOCH_COMPLETED[2,1] COMPLETED[2,1]",
        ),
        (
            "GET_BATCH_COMPLETED",
            "gc[1,1] TERMINATE_SINGLE_EPOCH[1,1](iter_counter=1) EPOCH_COMPLETED[1,1] ",
            "EPOCH_STARTED[2,1] gs[2,1] gc[2,1] TERMINATE_SINGLE_EPOCH[2,1](iter_counter=0) "
            "EPOCH_COMPLETED[2,1] COMPLETED[2,1]",
        ),
        (
            "ITERATION_STARTED",
            "is[1,1] TERMINATE_SINGLE_EPOCH[1,1](iter_counter=1) EPOCH_COMPLETED[1,1] ",
            "EPOCH_STARTED[2,1] gs[2,1] gc[2,1] is[2,2] step0 ic[2,2] gs[2,2] gc[2,2] is[2,3] "
            "step1 ic[2,3] gs[2,3] gc[2,3] is[2,4] step2 ic[2,4] EPOCH_COMPLETED[2,4] "
            "COMPLETED[2,4]",
        ),
        (
            "ITERATION_COMPLETED",
            "step0 ic[1,1] TERMINATE_SINGLE_EPOCH[1,1](iter_counter=1) EPOCH_COMPLETED[1,1] ",
            "EPOCH_STARTED[2,1] gs[2,1] gc[2,1] is[2,2] step0 ic[2,2] gs[2,2] gc[2,2] is[2,3] "
            "step1 ic[2,3] gs[2,3] gc[2,3] is[2,4] step2 ic[2,4] EPOCH_COMPLETED[2,4] "
            "COMPLETED[2,4]",
        ),
    ],
)
def test_terminate_epoch_goes_on_with_the_next(event: str, left: str, next_epoch: str) -> None:
    """The epoch is completed at once, and the next one begins the data anew."""
    events = trace([0, 1, 2], max_epochs=2, at=(event, 1), call="terminate_epoch")

    assert events.endswith(left + next_epoch)


@pytest.mark.parametrize("event", ["STARTED", "EPOCH_COMPLETED", "TERMINATE_SINGLE_EPOCH"])
def test_terminate_epoch_outside_an_epoch_does_nothing(event: str) -> None:
    """Where no epoch is open there is nothing to end, also when a run goes on inside one."""
    engine = Engine(lambda engine, batch: None)
    engine.add_event_handler(Events[event], lambda engine, **_: engine.terminate_epoch())
    engine.add_event_handler(Events.ITERATION_STARTED(once=5), Engine.terminate_epoch)
    engine.add_event_handler(Events.ITERATION_COMPLETED(once=1), Engine.terminate)

    engine.run([0, 1, 2], max_epochs=2)
    state = engine.run()

    assert (state.epoch, state.iteration) == (2, 5)


def test_max_iters_counts_iterations_also_when_epochs_end_early() -> None:
    """The run has all its iterations, in more epochs."""
    engine = Engine(lambda engine, batch: None)
    engine.add_event_handler(Events.ITERATION_COMPLETED(once=1), Engine.terminate_epoch)

    assert engine.run([0, 1, 2], max_iters=6).iteration == 6


def test_interrupt_returns_at_once() -> None:
    """Only INTERRUPT follows; the run is not completed."""
    events = trace([0, 1], max_epochs=2, at=("ITERATION_COMPLETED", 1), call="interrupt")

    assert events.endswith("step0 ic[1,1] INTERRUPT[1,1]")


@pytest.mark.parametrize(
    ("event", "count"), [("STARTED", 0), ("EPOCH_STARTED", 2), ("ITERATION_COMPLETED", 1)]
)
def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(event: str, count: int) -> None:
    """The events of both runs together are those of one, but for INTERRUPT."""
    engine, log = traced(at=(event, count), call="interrupt")
    engine.run([0, 1], max_epochs=2)
    assert log.pop().startswith("INTERRUPT")
    engine.run()

    assert " ".join(log) == trace([0, 1], max_epochs=2)


def test_a_run_interrupted_after_its_last_epoch_only_completes() -> None:
    """Nothing is begun again."""
    engine, log = traced(at=("EPOCH_COMPLETED", 2), call="interrupt")
    engine.run([0, 1])
    del log[:]
    engine.run()

    assert log == ["COMPLETED[1,2]"]


# --- Filters --------------------------------------------------------------


@pytest.mark.parametrize(
    ("narrowed", "counts"),
    [
        ({"every": 10}, [10, 20, 30, 40]),
        ({"every": 5, "after": 8, "before": 25}, [9, 14, 19, 24]),
        ({"every": 5, "after": 8}, [9, 14, 19, 24, 29, 34, 39]),
        ({"every": 5, "before": 25}, [1, 6, 11, 16, 21]),
        ({"after": 8, "before": 12}, [9, 10, 11]),
        ({"after": 38}, [39, 40]),
        ({"before": 3}, [1, 2]),
        ({"before": 3, "after": 5}, []),
        ({"once": 7}, [7]),
        ({"once": [3, 1, 99]}, [1, 3]),
        ({"event_filter": lambda engine, count: count in (4, 40)}, [4, 40]),
    ],
)
def test_a_filter_picks_the_counts_that_ignite_picks(
    narrowed: dict[str, Any], counts: list[int]
) -> None:
    """Each filter, also `every` inside a window, is due at the same of 40 iterations,
    whether or not another handler wants all of them."""
    assert heard_of(Events.ITERATION_STARTED(**narrowed)) == counts
    assert heard_of(Events.ITERATION_STARTED(**narrowed), beside=lambda: None) == counts


def test_before_the_first_batch_the_iteration_is_zero() -> None:
    """Filters on fetching count from 0, as in Ignite."""
    assert heard_of(Events.GET_BATCH_STARTED(every=10)) == [0, 10, 20, 30]


def test_filters_on_epochs_count_epochs() -> None:
    """Every second epoch is every second epoch."""
    epochs: list[int] = []
    engine = Engine(lambda engine, batch: None)
    engine.add_event_handler(
        Events.EPOCH_COMPLETED(every=2), lambda engine: epochs.append(engine.state.epoch)
    )
    engine.run([0, 1, 2], max_epochs=5)

    assert epochs == [2, 4]


def test_handlers_with_different_filters_are_each_called_when_due() -> None:
    """None of several filters on one event hides another, and they run in the order attached."""
    engine, called = Engine(lambda engine, batch: None), []
    for number, event in enumerate(
        (Events.ITERATION_COMPLETED(every=3), Events.ITERATION_COMPLETED(once=[2, 3]))
    ):
        engine.add_event_handler(
            event, lambda engine, number: called.append((engine.state.iteration, number)), number
        )
    engine.run(range(6))

    assert called == [(2, 1), (3, 0), (3, 1), (6, 0)]


def test_a_filter_stays_right_when_the_run_begins_again() -> None:
    """The counts of a second run are heard of like those of the first."""
    assert heard_of(Events.ITERATION_COMPLETED(once=2), runs=2) == [2, 2]


@pytest.mark.parametrize(
    "narrowed",
    [
        {},
        {"every": 0},
        {"every": 2.5},
        {"every": True},
        {"every": 2, "once": 3},
        {"once": 0},
        {"once": []},
        {"once": [1, "a"]},
        {"once": 2, "before": 3},
        {"before": -1},
        {"after": -1},
        {"event_filter": lambda engine: True},
        {"event_filter": lambda engine, count: True, "every": 2},
    ],
)
def test_a_filter_that_cannot_be_meant_is_refused(narrowed: dict[str, Any]) -> None:
    """Wrong numbers, several filters at once and functions of other arguments raise at once."""
    with pytest.raises(ValueError, match=r"must|give one filter"):
        Events.ITERATION_STARTED(**narrowed)


def test_an_event_filter_is_a_function() -> None:
    """Anything else is refused."""
    with pytest.raises(TypeError, match="event_filter must be a function, not 3"):
        Events.ITERATION_STARTED(event_filter=3)  # type: ignore[arg-type]


# --- Lists ----------------------------------------------------------------


def test_a_handler_of_several_events_is_called_at_each() -> None:
    """Plain and filtered events joined with | share a handler."""
    engine, epochs = Engine(lambda engine, batch: None), []
    events = Events.STARTED | Events.EPOCH_COMPLETED(every=2) | Events.COMPLETED
    engine.add_event_handler(events, lambda engine: epochs.append(engine.state.epoch))
    engine.run([0], max_epochs=4)

    assert epochs == [0, 2, 4, 4]


def test_joining_makes_a_new_list() -> None:
    """The lists that were joined are as they were, and lists join with lists."""
    first = Events.STARTED | Events.COMPLETED
    longer = first | Events.EPOCH_STARTED
    both = first | longer

    assert [len(first), len(longer), len(both)] == [2, 3, 5]
    assert list(Events.STARTED | first) == [Events.STARTED, Events.STARTED, Events.COMPLETED]


# --- Events of one's own --------------------------------------------------


class TextEvents(EventEnum):
    SENTENCE = "sentence"
    PARAGRAPH = "paragraph"


def test_an_event_of_ones_own_is_registered_and_fired() -> None:
    """Its handlers are called with the engine, in the middle of a step."""
    engine = Engine(lambda engine, batch: engine.fire_event(TextEvents.SENTENCE))
    engine.register_events(*TextEvents)
    heard: list[int] = []
    engine.add_event_handler(
        TextEvents.SENTENCE, lambda engine: heard.append(engine.state.iteration)
    )
    engine.run([0, 1])

    assert heard == [1, 2]


def test_an_event_may_be_a_string() -> None:
    """A registered string is an event like any other."""
    engine, heard = Engine(lambda engine, batch: engine.fire_event("read")), []
    engine.register_events("read")
    engine.add_event_handler("read", heard.append, "here")
    engine.run([0])

    assert heard == ["here"]


def test_a_counted_event_of_ones_own_can_be_filtered() -> None:
    """The attribute of the state that event_to_attr names is made, and filters follow it."""

    def step(engine: Engine, batch: int) -> None:
        engine.state.sentences += 1
        engine.fire_event(TextEvents.SENTENCE)

    engine, heard = Engine(step), []
    engine.register_events(*TextEvents, event_to_attr={TextEvents.SENTENCE: "sentences"})
    assert engine.state.sentences == 0
    engine.add_event_handler(
        TextEvents.SENTENCE(every=2), lambda engine: heard.append(engine.state.sentences)
    )
    engine.run(range(5))

    assert heard == [2, 4]


def test_registering_with_a_counter_later_is_registering() -> None:
    """An event that is known already gets the attribute it is given then."""
    engine = Engine(lambda engine, batch: None)
    engine.register_events(*TextEvents)
    engine.register_events(*TextEvents, event_to_attr={TextEvents.PARAGRAPH: "paragraphs"})

    engine.add_event_handler(TextEvents.PARAGRAPH(every=2), lambda: None)
    assert engine.state.paragraphs == 0


def test_registering_keeps_a_count_that_is_there() -> None:
    """An attribute that the state has already is not set back."""
    engine = Engine(lambda engine, batch: None)
    engine.state.sentences = 7
    engine.register_events(*TextEvents, event_to_attr={TextEvents.SENTENCE: "sentences"})

    assert engine.state.sentences == 7


def test_an_event_that_nothing_counts_cannot_be_filtered() -> None:
    """The refusal comes when the handler is attached, and says what is missing."""
    engine = Engine(lambda engine, batch: None)
    engine.register_events(*TextEvents)

    for event in (TextEvents.SENTENCE(every=2), Events.EXCEPTION_RAISED(once=1)):
        with pytest.raises(ValueError, match="cannot be filtered: register it with event_to_attr"):
            engine.add_event_handler(event, lambda: None)


@pytest.mark.parametrize("event", ["nothing", TextEvents.SENTENCE, 3, None])
def test_an_unknown_event_is_refused(event: Any) -> None:
    """Attaching to and firing an event that is not registered raise, and name those there are."""
    engine = Engine(lambda engine, batch: None)

    with pytest.raises(ValueError, match=r"no event .* there are Events.STARTED, "):
        engine.add_event_handler(event, lambda: None)
    with pytest.raises(ValueError, match="no event"):
        engine.fire_event(event)


def test_only_names_can_be_events() -> None:
    """Registering anything else than members of an EventEnum and strings is refused."""
    with pytest.raises(TypeError, match="member of an EventEnum or a string, not 3"):
        Engine(lambda engine, batch: None).register_events(3)  # type: ignore[arg-type]


# --- Helpers --------------------------------------------------------------

SHORT = {
    "GET_BATCH_STARTED": "gs",
    "GET_BATCH_COMPLETED": "gc",
    "ITERATION_STARTED": "is",
    "ITERATION_COMPLETED": "ic",
}


class WithoutLength:
    """Data that can be gone through again and again, but does not know its length."""

    def __init__(self, batches: list[int]) -> None:
        self._batches = batches

    def __iter__(self) -> Any:
        return iter(self._batches)


def trace(
    data: Iterable[Any] | None,
    at: tuple[str, int] | None = None,
    call: str = "",
    **limits: int,
) -> str:
    """Return the events of a run, each with the epoch and iteration it happened in."""
    engine, log = traced(at, call)
    engine.run(data, **limits)
    return " ".join(log)


def traced(at: tuple[str, int] | None = None, call: str = "") -> tuple[Engine, list[str]]:
    """Make an engine that logs its events, and calls a method of itself at one of them."""
    log: list[str] = []
    engine = Engine(lambda engine, batch: log.append(f"step{batch}"))

    def note(engine: Engine, event: Events, **more: int) -> None:
        state = engine.state
        extra = "".join(f"({name}={value})" for name, value in more.items())
        name = SHORT.get(event.name, event.name)
        log.append(f"{name}[{state.epoch},{state.iteration}]{extra}")
        if at == (event.name, state.iteration):
            getattr(engine, call)()

    for event in Events:
        if event is not Events.EXCEPTION_RAISED:
            engine.add_event_handler(event, note, event=event)
    return engine, log


def heard_of(event: Any, runs: int = 1, beside: Callable[[], None] | None = None) -> list[int]:
    """Return the iterations at which a handler of the event is called, in runs of 40."""
    iterations: list[int] = []
    engine = Engine(lambda engine, batch: None)
    if beside is not None:
        engine.add_event_handler(event.event, beside)
    engine.add_event_handler(event, lambda engine: iterations.append(engine.state.iteration))
    for _ in range(runs):
        engine.run(range(40))
    return iterations
