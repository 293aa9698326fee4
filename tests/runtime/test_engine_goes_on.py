"""A run that was cut, in whatever way and wherever, goes on where it stopped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scaffold_runtime import Checkpoint, Engine, Events, InMemoryDataset, Loader

# --- Every batch once, in order -------------------------------------------

INSIDE = [
    Events.GET_BATCH_STARTED,
    Events.GET_BATCH_COMPLETED,
    Events.ITERATION_STARTED,
    Events.ITERATION_COMPLETED,
]
EVERYWHERE = [
    *INSIDE,
    Events.STARTED,
    Events.EPOCH_STARTED,
    Events.EPOCH_COMPLETED,
    Events.DATALOADER_STOP_ITERATION,
]


class Cut(Exception):
    """What a handler or step raises to cut a run."""


CUTS = st.lists(
    st.tuples(
        st.sampled_from([*EVERYWHERE, "step"]),
        st.integers(0, 9),
        st.sampled_from(["terminate", "interrupt", "raise"]),
    ),
    min_size=1,
    max_size=4,
)
LIMITS = st.one_of(
    st.fixed_dictionaries(
        {"max_epochs": st.integers(1, 3)}, optional={"epoch_length": st.integers(1, 5)}
    ),
    st.fixed_dictionaries(
        {"max_iters": st.integers(1, 9)}, optional={"epoch_length": st.integers(1, 5)}
    ),
)


@settings(max_examples=400, deadline=None)
@given(
    kind=st.sampled_from(["list", "without length", "iterator", "shuffled"]),
    length=st.integers(1, 4),
    limits=LIMITS,
    cuts=CUTS,
    anew=st.booleans(),
)
def test_a_run_cut_anywhere_trains_every_batch_once_and_in_order(
    kind: str, length: int, limits: dict[str, int], cuts: list[Any], anew: bool
) -> None:
    """Terminated, interrupted or failed, once or often, in this engine or a new one with its state:
    together the parts train exactly the batches of the run that was left alone."""
    if kind == "iterator" and "max_epochs" in limits:
        limits = {**limits, "max_epochs": 1}  # An iterator has one pass in it.
    whole: list[int] = []
    make_engine(whole, []).run(make_data(kind, length), **limits)

    parts: list[int] = []
    pending = list(cuts)
    engine, data = make_engine(parts, pending), make_data(kind, length)
    while was_cut(engine, pending, data, limits):
        if not anew and parts == whole:
            break  # It may be complete, and then the next run would be another one.
        if anew:
            state_dict = engine.state_dict()
            engine, data = make_engine(parts, pending), make_data(kind, length)
            engine.load_state_dict(state_dict)

    assert parts == whole


@pytest.mark.parametrize("event", INSIDE)
def test_a_state_saved_inside_an_event_counts_only_finished_iterations(event: Events) -> None:
    """A new engine with the state goes on with the batch whose step had not returned."""
    saved: list[dict[str, Any]] = []
    engine = make_engine(trained := [], [])
    engine.add_event_handler(event, lambda: saved.append(engine.state_dict()))
    engine.run([0, 1, 2], max_epochs=2)

    assert trained == [0, 1, 2, 0, 1, 2]
    for state_dict in saved:
        resumed = make_engine(rest := [], [])
        resumed.load_state_dict(state_dict)
        resumed.run([0, 1, 2])
        assert trained[: state_dict["iteration"]] + rest == trained


def test_a_state_saved_in_the_step_does_not_count_it() -> None:
    """The step is not finished, so its batch comes again."""
    engine = Engine(lambda engine, batch: saved.append(engine.state_dict()["iteration"]))
    saved: list[int] = []
    engine.run([0, 1, 2])

    assert saved == [0, 1, 2]


# --- After an exception ---------------------------------------------------


def test_an_exception_reaches_the_caller_after_all_handlers_ran(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Also when a handler of EXCEPTION_RAISED fails itself, which is logged."""
    engine, told = make_engine([], [("step", 1, "raise")]), []
    engine.add_event_handler(Events.EXCEPTION_RAISED, told.append)
    engine.add_event_handler(Events.EXCEPTION_RAISED, lambda: 1 / 0)
    engine.add_event_handler(Events.EXCEPTION_RAISED, told.append)

    with pytest.raises(Cut) as raised:
        engine.run([0, 1, 2])
    assert told == [raised.value, raised.value]
    assert "division by zero" in caplog.text


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_ctrl_c_is_told_and_reaches_the_caller(error: type[BaseException]) -> None:
    """What is no `Exception` is treated like one."""

    def step(engine: Engine, batch: int) -> None:
        raise error

    engine, told = Engine(step), []
    engine.add_event_handler(Events.EXCEPTION_RAISED, told.append)

    with pytest.raises(error):
        engine.run([0])
    assert isinstance(told[0], error)


def test_an_exception_handler_cannot_turn_a_crash_into_an_ending() -> None:
    """Asking to terminate there changes nothing."""
    engine = make_engine([], [("step", 1, "raise")])
    engine.add_event_handler(Events.EXCEPTION_RAISED, lambda error: engine.terminate())

    with pytest.raises(Cut):
        engine.run([0, 1])


@pytest.mark.parametrize("reads", [1, 2, 3, 4])
@pytest.mark.parametrize("one_shot", [False, True])
def test_data_that_failed_is_asked_for_the_same_batch_again(reads: int, one_shot: bool) -> None:
    """Whichever read fails, also the first of a pass, the next run misses and repeats nothing."""
    trained: list[int] = []
    engine = make_engine(trained, [])
    data = FailsOnce(reads, length=4 if one_shot else 2)
    passes = {"epoch_length": 4} if one_shot else {"max_epochs": 2}
    with pytest.raises(OSError, match="network"):
        engine.run(data if one_shot else Passes(data), **passes)
    engine.run()

    assert trained == ([0, 1, 2, 3] if one_shot else [0, 1, 0, 1])


def test_a_failed_pass_is_not_counted() -> None:
    """A loader whose first batch of an epoch fails is asked for the same epoch again."""
    loader = Loader(FailingDataset(fails_at=4), batch_size=2, shuffle=True, seed=3)
    trained: list[list[int]] = []
    engine = Engine(lambda engine, batch: trained.append(batch.tolist()))
    with pytest.raises(OSError, match="disk"):
        engine.run(loader, max_epochs=2)
    engine.run()

    whole: list[list[int]] = []
    unfailing = Loader(FailingDataset(fails_at=0), batch_size=2, shuffle=True, seed=3)
    Engine(lambda engine, batch: whole.append(batch.tolist())).run(unfailing, max_epochs=2)
    assert trained == whole


def test_a_handler_that_fails_after_the_last_epoch_does_not_begin_the_run_again() -> None:
    """The next run only completes; trained weights are not trained anew."""
    engine = make_engine(trained := [], [(Events.EPOCH_COMPLETED, 2, "raise")])
    with pytest.raises(Cut):
        engine.run([0, 1])
    completed: list[int] = []
    engine.add_event_handler(Events.COMPLETED, completed.append, 1)
    engine.run()

    assert (trained, completed) == ([0, 1], [1])


def test_a_run_ended_at_its_very_last_batch_goes_on_with_the_end_of_the_epoch() -> None:
    """Nothing is left to train, but the epoch was not completed yet."""
    engine = make_engine(trained := [], [(Events.ITERATION_COMPLETED, 2, "terminate")])
    epochs: list[int] = []
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: epochs.append(engine.state.epoch))
    engine.run([0, 1], max_iters=2)
    assert epochs == []
    engine.run()

    assert (epochs, trained) == ([1], [0, 1])


# --- Complete runs --------------------------------------------------------


def test_a_complete_run_begins_again() -> None:
    """With the same or with no limits everything is counted from the beginning."""
    engine = make_engine(trained := [], [])
    engine.run([0, 1], max_epochs=2)
    state = engine.run([2, 3])

    assert trained == [0, 1, 0, 1, 2, 3]
    assert (state.epoch, state.iteration, state.max_epochs) == (1, 2, 1)


def test_a_complete_run_goes_on_when_there_is_more() -> None:
    """More epochs, or more iterations, are added to those that were."""
    engine = make_engine(trained := [], [])
    engine.run([0, 1, 2], max_epochs=1)
    engine.run(max_epochs=2)
    state = engine.run(max_iters=8)

    assert trained == [0, 1, 2, 0, 1, 2, 0, 1]
    assert (state.epoch, state.iteration) == (3, 8)


@pytest.mark.parametrize("limits", [{"max_epochs": 1}, {"max_iters": 3}])
def test_a_run_does_not_go_back(limits: dict[str, int]) -> None:
    """A limit behind what was reached is refused, and the state is as it was."""
    engine = make_engine(trained := [], [])
    engine.run([0, 1, 2], max_epochs=2)
    with pytest.raises(ValueError, match=r"but the run has reached \d; give at least that"):
        engine.run([0, 1, 2], **limits)

    assert engine.run([0, 1, 2], max_epochs=3).iteration == 9
    assert len(trained) == 9


def test_a_run_begins_again_when_its_limits_are_taken_away() -> None:
    """That is what the refusal advises."""
    engine = make_engine(trained := [], [])
    engine.run([0, 1], max_epochs=3)
    engine.state.max_epochs = engine.state.max_iters = None

    assert engine.run([0, 1], max_epochs=1).epoch == 1
    assert len(trained) == 8


def test_an_epoch_length_cannot_change_while_a_run_goes_on() -> None:
    """The place in the epoch would be another."""
    engine = make_engine([], [])
    engine.run([0, 1, 2], max_epochs=1)

    with pytest.raises(ValueError, match="epoch_length is 3 in the run that goes on, not 2"):
        engine.run([0, 1, 2], max_epochs=2, epoch_length=2)


# --- Saved and loaded -----------------------------------------------------


def test_a_loaded_complete_run_is_not_begun_again() -> None:
    """Resuming what was finished trains nothing; more epochs go on, fewer are refused."""
    finished = make_engine([], [])
    finished.run([0, 1], max_epochs=2)
    engine = make_engine(trained := [], [])

    engine.load_state_dict(finished.state_dict())
    assert engine.run([0, 1]).iteration == 4
    engine.load_state_dict(finished.state_dict())
    with pytest.raises(ValueError, match="max_epochs is 1, but"):
        engine.run([0, 1], max_epochs=1)
    assert engine.run([0, 1], max_epochs=2).iteration == 4
    assert trained == []
    engine.load_state_dict(finished.state_dict())
    engine.run([0, 1], max_epochs=3)
    assert trained == [0, 1]


def test_a_checkpoint_of_the_last_batch_resumes_with_the_end_of_its_epoch(tmp_path: Path) -> None:
    """Saved at an epoch's last ITERATION_COMPLETED, the run goes on with EPOCH_COMPLETED."""
    engine = make_engine([], [])
    checkpoint = Checkpoint(tmp_path, {"trainer": engine})
    engine.add_event_handler(Events.ITERATION_COMPLETED(once=2), checkpoint)
    engine.run([0, 1], max_epochs=2)

    resumed = make_engine(trained := [], [])
    heard: list[tuple[int, int]] = []
    resumed.add_event_handler(
        Events.EPOCH_COMPLETED, lambda: heard.append((resumed.state.epoch, len(trained)))
    )
    Checkpoint(tmp_path, {"trainer": resumed}).restore()
    resumed.run([0, 1])

    assert heard == [(1, 0), (2, 2)]


def test_a_checkpoint_of_an_epochs_end_does_not_repeat_it(tmp_path: Path) -> None:
    """Saved at EPOCH_COMPLETED, the run goes on with the next epoch."""
    engine = make_engine([], [])
    checkpoint = Checkpoint(tmp_path, {"trainer": engine})
    engine.add_event_handler(Events.EPOCH_COMPLETED(once=1), checkpoint)
    engine.run([0, 1], max_epochs=2)

    resumed = make_engine(trained := [], [])
    checkpoint = Checkpoint(tmp_path, {"trainer": resumed})
    epochs: list[int] = []
    resumed.add_event_handler(Events.EPOCH_COMPLETED, lambda: epochs.append(resumed.state.epoch))
    checkpoint.restore()
    resumed.run([0, 1])

    assert (epochs, trained) == ([2], [0, 1])


def test_own_attributes_of_the_state_are_saved_when_listed() -> None:
    """What state_dict_user_keys names comes back, other attributes do not."""
    engine = make_engine([], [])
    engine.state_dict_user_keys.append("best")
    engine.state.best, engine.state.other = 0.9, 1
    engine.run([0])
    resumed = make_engine([], [])
    resumed.state_dict_user_keys.append("best")
    resumed.load_state_dict(engine.state_dict())

    assert resumed.state.best == 0.9
    assert not hasattr(resumed.state, "other")


@pytest.mark.parametrize(
    ("state_dict", "place", "rest"),
    [
        ({"iteration": 4, "epoch_length": 3, "max_epochs": 2}, (2, 6), [1, 2]),
        ({"epoch": 1, "epoch_length": 3, "max_epochs": 2}, (2, 6), [0, 1, 2]),
        ({"epoch": 1, "epoch_length": 3, "max_iters": 4}, (2, 4), [0]),
    ],
)
def test_a_place_can_be_given_by_hand(
    state_dict: dict[str, int], place: tuple[int, int], rest: list[int]
) -> None:
    """The iteration or the epoch, and the epoch's length, say where to go on."""
    engine = make_engine(trained := [], [])
    engine.load_state_dict(state_dict)
    state = engine.run([0, 1, 2])

    assert (state.epoch, state.iteration, trained) == (*place, rest)


def test_a_place_without_limits_goes_as_far_as_the_run_says() -> None:
    """The run does not begin again because the loaded state had no limits."""
    engine = make_engine(trained := [], [])
    engine.load_state_dict({"iteration": 4, "epoch_length": 3})
    engine.run([0, 1, 2], max_epochs=2)

    assert trained == [1, 2]


@pytest.mark.parametrize("state_dict", [{}, {"iteration": 3}, {"epoch_length": 3}])
def test_a_state_that_names_no_place_is_refused(state_dict: dict[str, int]) -> None:
    """The error says what is missing."""
    with pytest.raises(ValueError, match="needs epoch_length, and iteration or epoch"):
        make_engine([], []).load_state_dict(state_dict)


# --- Helpers --------------------------------------------------------------


def make_engine(trained: list[int], cuts: list[Any]) -> Engine:
    """Make an engine that notes the batches it finished, and carries out each cut once."""

    def step(engine: Engine, batch: Any) -> None:
        cut_if_due("step")
        trained.append(batch[0].item() if isinstance(batch, tuple) else batch)

    engine = Engine(step)

    def cut_if_due(place: Events | str) -> None:
        for cut in cuts:
            if cut[:2] == (place, engine.state.iteration):
                cuts.remove(cut)
                if cut[2] == "raise":
                    raise Cut
                # In a step the iteration is finished first, so it is not repeated.
                getattr(engine, cut[2])()
                return

    for event in EVERYWHERE:
        engine.add_event_handler(event, cut_if_due, event)
    return engine


def was_cut(engine: Engine, pending: list[Any], data: Any, limits: dict[str, int]) -> bool:
    """Run on, with the limits unless the state has them, and say whether a cut was carried out."""
    before = len(pending)
    fresh = engine.state.max_epochs is None and engine.state.max_iters is None
    with suppress(Cut):
        engine.run(data, **(limits if fresh else {}))
    return len(pending) < before


def make_data(kind: str, length: int) -> Iterable[Any]:
    """Make the same data each time."""
    if kind == "list":
        return list(range(length))
    if kind == "without length":
        return WithoutLength(range(length))
    if kind == "iterator":
        return iter(range(20))
    return Loader(InMemoryDataset(torch.arange(length)), batch_size=1, shuffle=True, seed=1)


class WithoutLength:
    """Data that can be gone through again and again, but does not know its length."""

    def __init__(self, batches: Iterable[int]) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[int]:
        return iter(self._batches)


class FailsOnce:
    """An iterator over numbers, one read of which fails, and works when tried again."""

    def __init__(self, fails_at: int, length: int) -> None:
        self.fails_at = fails_at
        self.length = length
        self.reads = 0
        self.place = 0

    def __iter__(self) -> FailsOnce:
        return self

    def __next__(self) -> int:
        if self.place == self.length:
            raise StopIteration
        self.reads += 1
        if self.reads == self.fails_at:
            raise OSError("the network is down")
        self.place += 1
        return self.place - 1


class Passes:
    """Data of two batches that can be begun again, over one disk that fails once."""

    def __init__(self, source: FailsOnce) -> None:
        self._source = source

    def __len__(self) -> int:
        return self._source.length

    def __iter__(self) -> Iterator[int]:
        self._source.place = 0
        yield from self._source


class FailingDataset:
    """Six numbers; one access of all fails."""

    def __init__(self, fails_at: int) -> None:
        self._fails_at = fails_at
        self._accesses = 0

    def __len__(self) -> int:
        return 6

    def __getitems__(self, indices: list[int]) -> list[int]:
        self._accesses += 1
        if self._accesses == self._fails_at:
            raise OSError("the disk failed")
        return indices
