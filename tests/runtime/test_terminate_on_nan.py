"""The guard against numbers that are none."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy
import pytest
import torch

from scaffold_runtime import Engine, Events, TerminateOnNan, UserError

NAN, INF = math.nan, math.inf
TENSOR = torch.tensor([1.0, NAN])


@pytest.mark.parametrize(
    "output",
    [
        NAN,
        INF,
        -INF,
        numpy.float32("nan"),
        numpy.array([1.0, NAN]),
        TENSOR,
        torch.tensor(-INF),
        torch.tensor([1.0, INF, -INF]),
        torch.tensor([1.0, NAN], dtype=torch.bfloat16),
        torch.tensor([complex(0, NAN)]),
        {"loss": 1.0, "more": [0.0, (TENSOR,)]},
        [torch.ones(2), 3, NAN],
    ],
    ids=str,
)
def test_a_number_that_is_none_ends_the_run(output: Any, caplog: pytest.LogCaptureFixture) -> None:
    """NaN and infinity, plain or in tensors, at any depth; a warning says where."""
    engine = Engine(lambda engine, batch: output if batch == 1 else 0.0)
    engine.add_event_handler(Events.ITERATION_COMPLETED, TerminateOnNan(check_every=1))

    assert engine.run(range(4)).iteration == 2
    assert "not finite at iteration 2" in caplog.text


def test_with_advice_the_run_does_not_pass_for_a_completed_one() -> None:
    """It ends with one line for the user, and nothing that belongs to its end is done."""
    engine, completed = Engine(lambda engine, batch: NAN), []
    engine.add_event_handler(Events.COMPLETED, completed.append)
    guard = TerminateOnNan(check_every=1, advice="try a lower --lr")
    engine.add_event_handler(Events.ITERATION_COMPLETED, guard)

    with pytest.raises(UserError, match="not finite at iteration 1: try a lower --lr"):
        engine.run(range(4))

    assert completed == []


@pytest.mark.parametrize(
    "output",
    [
        None,
        "nan",
        1.0,
        10**400,
        True,
        torch.tensor([1, 2]),
        torch.tensor([True]),
        torch.full((3,), torch.finfo(torch.float32).max),
        torch.empty(0),
        {"y": "inf", "loss": torch.tensor(0.5)},
    ],
    ids=lambda output: str(output)[:20],
)
def test_other_outputs_are_passed_over(output: Any) -> None:
    """Large numbers, whole numbers, words and nothing are no reason to end."""
    engine = Engine(lambda engine, batch: output)
    engine.add_event_handler(Events.ITERATION_COMPLETED, TerminateOnNan(check_every=1))

    assert engine.run(range(4)).iteration == 4


@pytest.mark.parametrize(
    ("bad", "limits", "ended"),
    [
        (3, {"max_epochs": 2, "epoch_length": 20}, 5),  # At the next look.
        (19, {"max_epochs": 2, "epoch_length": 19}, 19),  # At the end of the epoch.
        (17, {"max_iters": 18, "epoch_length": 40}, 18),  # At the end of the run.
    ],
)
def test_a_tensor_is_looked_at_now_and_then(
    bad: int, limits: dict[str, int], ended: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Every check_every iterations, and where epoch and run end; what was in between counts."""
    engine = Engine(lambda engine, batch: torch.tensor(NAN if batch == bad else 0.0))
    engine.add_event_handler(Events.ITERATION_COMPLETED, TerminateOnNan(check_every=5))

    assert engine.run(range(1, 41), **limits).iteration == ended
    assert caplog.messages == [f"the output is not finite at iteration {ended}: the run ends"]


def test_the_transform_picks_what_is_looked_at() -> None:
    """Other parts of the output may be what they are."""
    engine = Engine(lambda engine, batch: {"loss": 0.0, "other": NAN})
    guard = TerminateOnNan(lambda output: output["loss"])
    engine.add_event_handler(Events.ITERATION_COMPLETED, guard)

    assert engine.run(range(3)).iteration == 3


def test_an_output_that_can_be_read_once_is_left_alone() -> None:
    """An iterator is not used up by looking at it."""
    engine, read = Engine(lambda engine, batch: iter([1.0, 2.0])), []

    def take(engine: Engine) -> None:
        output: Iterator[float] = engine.state.output
        read.append(list(output))

    engine.add_event_handler(Events.ITERATION_COMPLETED, TerminateOnNan())
    engine.add_event_handler(Events.ITERATION_COMPLETED, take)
    engine.run([0])

    assert read == [[1.0, 2.0]]


def test_a_run_after_the_end_is_not_ended_by_the_past() -> None:
    """What was seen is forgotten with the run it ended."""
    engine = Engine(lambda engine, batch: torch.tensor(batch))
    engine.add_event_handler(Events.ITERATION_COMPLETED, TerminateOnNan())
    engine.run([NAN, 1.0])

    assert engine.run([1.0, 1.0], max_epochs=3).epoch == 3


def test_there_is_a_look_at_least_every_so_often() -> None:
    """A check_every below one is refused."""
    with pytest.raises(ValueError, match="check_every must be at least 1, not 0"):
        TerminateOnNan(check_every=0)


def test_what_was_seen_between_two_looks_survives_a_restart() -> None:
    """A run that is cut after the NaN and before the look ends where it would have ended."""

    def make() -> Engine:
        engine = Engine(lambda engine, batch: torch.tensor(math.nan if batch == 4 else 1.0))
        engine.add_event_handler(Events.ITERATION_COMPLETED, TerminateOnNan(check_every=10))
        return engine

    cut, going_on = make(), make()
    cut.add_event_handler(Events.ITERATION_COMPLETED(once=7), cut.interrupt)
    cut.run(range(40))
    going_on.load_state_dict(cut.state_dict())

    assert going_on.run(range(40)).iteration == 10
