"""Loaders that bring their own state: it is saved and restored as it is, by the engine."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaffold_runtime import Engine, Events

INSIDE = [
    Events.GET_BATCH_STARTED,
    Events.GET_BATCH_COMPLETED,
    Events.ITERATION_STARTED,
    Events.ITERATION_COMPLETED,
]
BETWEEN = [
    Events.EPOCH_STARTED,
    Events.EPOCH_COMPLETED,
    Events.DATALOADER_STOP_ITERATION,
    Events.COMPLETED,
]


class Stateful:
    """
    Batches 100, 101, ... of the first pass, 200, ... of the next, loaded two ahead.

    Only its own state says what comes next: a new object begins with the first pass.
    """

    def __init__(self, length: int = 4) -> None:
        self.drawn: list[int] = []
        self._length = length
        self._pass = 0
        self._given = 0
        self._resumes = False

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[int]:
        if not self._resumes:
            self._pass, self._given = self._pass + 1, 0
        self._resumes = False
        return self._batches()

    def _batches(self) -> Iterator[int]:
        to_come = iter(range(self._given, self._length))
        ahead = deque(self._load(number) for number in itertools.islice(to_come, 2))
        while ahead:
            batch = ahead.popleft()
            ahead.extend(self._load(number) for number in itertools.islice(to_come, 1))
            self._given += 1
            yield batch

    def _load(self, number: int) -> int:
        self.drawn.append(100 * self._pass + number)
        return self.drawn[-1]

    def state_dict(self) -> dict[str, int]:
        return {"pass": self._pass, "given": self._given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._pass, self._given, self._resumes = state["pass"], state["given"], True


@pytest.mark.parametrize("epoch_length", [None, 3, 6])
@pytest.mark.parametrize("event", INSIDE + BETWEEN)
def test_a_resumed_engine_goes_on_from_the_state_of_the_loader(
    event: Events, epoch_length: int | None
) -> None:
    """Saved at whatever event, a new engine with a new loader trains what was left."""
    saved: list[dict[str, Any]] = []
    engine = recording(trained := [])
    engine.add_event_handler(event, lambda: saved.append(engine.state_dict()))
    engine.run(Stateful(), max_epochs=3, epoch_length=epoch_length)

    assert trained[:6] == [100, 101, 102, 103, 200, 201]
    for state in saved:
        resumed = recording(rest := [])
        resumed.load_state_dict(state)
        resumed.run(Stateful())
        assert trained[: state["iteration"]] + rest == trained


@settings(max_examples=100, deadline=None)
@given(
    cuts=st.lists(st.tuples(st.sampled_from([*INSIDE, "step"]), st.integers(0, 8)), max_size=3),
    epoch_length=st.sampled_from([None, 3, 6]),
)
def test_a_run_that_fails_often_trains_every_batch_once(
    cuts: list[tuple[Any, int]], epoch_length: int | None
) -> None:
    """In this engine, with the same loader, whose iterator may have gone ahead."""
    whole = recording(expected := [])
    whole.run(Stateful(), max_epochs=2, epoch_length=epoch_length)
    pending = list(cuts)

    def cut(place: Any, engine: Engine) -> None:
        if (place, engine.state.iteration) in pending:
            pending.remove((place, engine.state.iteration))
            raise KeyError("cut")

    def step(engine: Engine, batch: int) -> None:
        cut("step", engine)
        trained.append(batch)

    trained: list[int] = []
    engine, loader = Engine(step), Stateful()
    for event in INSIDE:
        engine.add_event_handler(event, lambda engine, event=event: cut(event, engine))
    while True:
        try:
            engine.run(loader, max_epochs=2, epoch_length=epoch_length)
            break
        except KeyError:
            if trained == expected:
                break  # It is complete: the next run would be another one.

    assert trained == expected


def test_nothing_is_skipped_a_second_time() -> None:
    """Between two iterations the loader's state is the position: nothing is drawn to be dropped."""
    engine = recording([])
    engine.run(Stateful(), max_iters=3)
    state, loader = engine.state_dict(), Stateful()
    resumed = recording(rest := [])
    resumed.load_state_dict({**state, "max_iters": 6})
    resumed.run(loader)

    assert state["data"]["loader"] == {"pass": 1, "given": 3}
    assert rest == [103, 200, 201]
    assert loader.drawn == [103, 200, 201, 202, 203]


def test_a_batch_at_hand_is_trained_after_all() -> None:
    """Saved in the step, the loader is one too far; the pass is gone through from its beginning."""
    states = []
    engine = Engine(lambda engine, batch: states.append(engine.state_dict()))
    engine.run(Stateful(), max_epochs=1)
    loader = Stateful()
    resumed = recording(rest := [])
    resumed.load_state_dict(states[2])
    resumed.run(loader)

    assert states[2]["data"]["loader"] == {"pass": 1, "given": 0}
    assert rest == [102, 103]


def test_a_complete_run_goes_on_with_more_epochs() -> None:
    """In a new engine and with a new loader, in the next pass; none of the last is drawn again."""
    engine = recording([])
    engine.run(Stateful(), max_epochs=2)
    loader = Stateful()
    resumed = recording(rest := [])
    resumed.load_state_dict(engine.state_dict())
    resumed.run(loader, max_epochs=3)

    assert rest == loader.drawn == [300, 301, 302, 303]


def test_a_state_of_an_older_release_still_loads() -> None:
    """One without the state of a loader: what comes before the position is drawn and dropped."""
    engine = recording(rest := [])
    engine.load_state_dict(
        {
            "iteration": 2,
            "epoch": 1,
            "epoch_length": 4,
            "max_epochs": 1,
            "epoch_start": 0,
            "data": {"passes": 0, "start": 0},
        }
    )
    engine.run(Stateful())

    assert rest == [102, 103]


def recording(trained: list[int]) -> Engine:
    """Make an engine that writes down its batches."""
    return Engine(lambda engine, batch: trained.append(batch))
