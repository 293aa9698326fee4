"""Worker processes: what fails in them is told, and they end when they are done with."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import time
import warnings
from typing import Any

import pytest
import torch

from scaffold_runtime import Engine, Events, InMemoryDataset, Loader

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # On few cores.

OTHERS: set[int] = set()  # Processes of other tests.


@pytest.fixture(autouse=True)
def alone() -> None:
    """What other tests left is collected before, so that no warning of it comes up here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()
    OTHERS.update(process.pid or 0 for process in multiprocessing.active_children())


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_of_the_data_set_reaches_the_caller(workers: int) -> None:
    """As what it is, with its message; the batches before it came, and the place is its batch."""
    loader = Loader(Broken(), 2, num_workers=workers)
    batches = iter(loader)
    assert [next(batches).tolist(), next(batches).tolist()] == [[0, 1], [2, 3]]
    with pytest.raises(LookupError, match="sample 5 is damaged") as caught:
        next(batches)

    assert loader.state_dict() == {"epoch": 0, "position": 4}
    assert children() == []
    assert caught.traceback  # It is still there, and holds no worker.


@pytest.mark.parametrize("workers", [0, 2])
def test_stop_iteration_in_a_data_set_is_an_error(workers: int) -> None:
    """It would otherwise end the epoch without a word."""
    with pytest.raises(RuntimeError, match="the data set or collate_fn raised StopIteration"):
        list(Loader(Ending(), 2, num_workers=workers))


# torch may notice the kill a second time, while it ends the other worker, and only print that.
TOLD_TWICE = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@TOLD_TWICE
@pytest.mark.parametrize("persistent", [False, True])
def test_a_killed_worker_is_an_error_and_no_hang(persistent: bool) -> None:
    """The loop is told, and the next iteration has workers again."""
    loader = Loader(Slow(), 1, num_workers=2, persistent_workers=persistent)
    batches = iter(loader)
    next(batches)
    begun = time.monotonic()

    def go_on() -> None:  # torch may tell of it at any moment after the kill.
        os.kill(children()[0], signal.SIGKILL)
        list(batches)

    with pytest.raises(RuntimeError, match="DataLoader worker"):
        go_on()

    assert time.monotonic() - begun < 9
    loader.seek(0)
    assert len(list(loader)) == 40


@TOLD_TWICE
def test_an_engine_whose_worker_was_killed_can_go_on() -> None:
    """With the batch that did not come."""
    batches: list[int] = []
    engine = Engine(lambda engine, batch: batches.append(batch.item()))
    killer = engine.add_event_handler(
        Events.ITERATION_COMPLETED(once=3), lambda: os.kill(children()[0], signal.SIGKILL)
    )
    loader = Loader(Slow(), 1, num_workers=2)
    with pytest.raises(RuntimeError, match="DataLoader worker"):
        engine.run(loader)
    killer.remove()
    engine.run(loader)

    assert batches == list(range(40))


def test_workers_end_with_the_last_batch_of_an_epoch() -> None:
    """Not only when the next one begins: a validation in between has the machine for itself."""
    batches = iter(Loader(range(6), 2, num_workers=2))
    assert len(children()) == 2
    for _ in range(3):
        next(batches)

    assert children() == []
    assert list(batches) == []


def test_workers_end_with_an_iteration_that_is_left_early() -> None:
    """Also when it is part of a cycle, which the garbage collector finds; and without a wait."""
    for in_a_cycle in (False, True):
        batches = iter(Loader(range(60), 2, num_workers=2))
        next(batches)
        held: list[Any] = [batches]
        if in_a_cycle:
            held.append(held)
        begun = time.monotonic()
        del batches, held
        gc.collect()

        assert children() == []
        assert time.monotonic() - begun < 4


def test_workers_end_with_the_engine_that_used_them() -> None:
    """After a run, and when an engine that was cut is let go."""
    engine = Engine(lambda engine, batch: None)
    engine.run(Loader(range(6), 2, num_workers=2), max_epochs=2)
    assert children() == []

    engine = Engine(lambda engine, batch: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        engine.run(Loader(range(60), 2, num_workers=2))
    begun = time.monotonic()
    del engine
    gc.collect()

    assert children() == []
    assert time.monotonic() - begun < 4


def test_persistent_workers_are_the_same_in_every_epoch_until_the_loader_is_closed() -> None:
    """And again others after that; they know each epoch nevertheless."""
    loader = Loader(range(6), 2, shuffle=True, num_workers=1, persistent_workers=True)
    alone = Loader(range(6), 2, shuffle=True)
    for _ in range(3):
        assert [batch.tolist() for batch in loader] == [batch.tolist() for batch in alone]
    workers = children()
    list(loader)
    assert children() == workers
    loader.close()
    assert children() == []
    list(loader)
    assert len(children()) == 1
    begun = time.monotonic()
    cycle: list[Any] = [loader]
    cycle.append(cycle)
    del loader, cycle
    gc.collect()

    assert children() == []
    assert time.monotonic() - begun < 4


def test_an_iteration_does_not_take_batches_of_a_newer_one() -> None:
    """Persistent workers serve one iteration; the older one is told so."""
    loader = Loader(range(8), 2, num_workers=1, persistent_workers=True)
    older = iter(loader)
    next(older)
    newer = iter(loader)
    with pytest.raises(RuntimeError, match="another iteration of this loader has begun"):
        next(older)

    assert [batch.tolist() for batch in newer] == [[0, 1], [2, 3], [4, 5], [6, 7]]


def test_workers_leave_an_interrupt_to_the_training_process() -> None:
    """A terminal's Ctrl-C goes to all processes; the run decides when to stop, and may finish."""
    batches = iter(Loader(Slow(), 1, num_workers=2))
    next(batches), next(batches)  # From each of them one: now both are prepared.
    for worker in children():
        os.kill(worker, signal.SIGINT)

    assert len(list(batches)) == 38


@pytest.mark.slow
def test_workers_that_are_spawned_give_the_same_batches() -> None:
    """Whatever they need can be sent to a new process."""
    data = InMemoryDataset(torch.arange(6))
    ways = [{}, {"num_workers": 1, "multiprocessing_context": "spawn"}]
    fresh, spawned = (
        [batch.tolist() for (batch,) in Loader(data, 2, weights=torch.ones(6), **way)]  # type: ignore[arg-type]
        for way in ways
    )

    assert fresh == spawned


# --- Helpers --------------------------------------------------------------


class Broken:
    """Ten numbers; the fifth cannot be read."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> int:
        if index == 5:
            raise LookupError("sample 5 is damaged")
        return index


class Ending(Broken):
    """It has a mistake: next() of an iterator that has come to its end."""

    def __getitem__(self, index: int) -> int:
        return next(iter([])) if index == 5 else index


class Slow:
    """Forty numbers, each after a hundredth of a second."""

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> int:
        time.sleep(0.01)
        return index


def children() -> list[int]:
    """Return the processes that a test has started and that live."""
    found = {child.pid or 0 for child in multiprocessing.active_children()}
    return sorted(found - OTHERS)
