"""Early stopping: when a run ends because it no longer gets better."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pytest

from scaffold_runtime import EarlyStopping, Engine, Events


@pytest.mark.parametrize(
    ("scores", "options", "epochs"),
    [
        ([0.5, 0.6, 0.7, 0.8, 0.9], {}, 5),
        ([0.5, 0.4, 0.3, 0.9, 0.9], {}, 3),
        ([0.5, 0.5, 0.5, 0.9, 0.9], {}, 3),
        ([0.5, 0.4, 0.6, 0.5, 0.7], {}, 5),
        ([0.5, math.nan, math.nan, 0.9, 0.9], {}, 3),
        ([math.nan, math.nan, 0.5, 0.6, 0.7], {}, 2),
        ([-3.0, -2.0, -1.0, -1.5, -1.0], {}, 5),
        # Small rises do not count; each is measured from the score before ...
        ([0.5, 0.54, 0.58, 0.62, 0.66], {"min_delta": 0.05}, 3),
        # ... or, added up, from the last score that did.
        ([0.5, 0.54, 0.58, 0.62, 0.66], {"min_delta": 0.05, "cumulative_delta": True}, 5),
    ],
)
def test_a_run_ends_after_two_scores_that_are_not_better(
    scores: list[float], options: dict[str, Any], epochs: int
) -> None:
    """With a patience of two; equal scores and NaN are not better."""
    trainer, _ = make(scores, **options)

    assert trainer.run([0], max_epochs=len(scores)).epoch == epochs


def test_patience_and_the_best_score_survive_a_restart() -> None:
    """A resumed run does not begin to be patient anew."""
    _, stopping = make([], patience=3)
    for score in (0.5, 0.4, 0.4):
        stopping.score_function = lambda engine, score=score: score
        stopping(stopping.trainer)
    trainer, resumed = make([0.5, 0.9], patience=3)
    resumed.load_state_dict(stopping.state_dict())

    assert trainer.run([0], max_epochs=2).epoch == 1


def test_the_trainer_is_ended_by_the_score_of_another_engine() -> None:
    """Attached to the evaluator, it ends the trainer at the end of the event under way."""
    trainer = Engine(lambda engine, batch: None)
    evaluator = Engine(lambda engine, batch: None)
    stopping = EarlyStopping(1, lambda engine: engine.state.score, trainer)
    evaluator.state.score = 0.5
    evaluator.add_event_handler(Events.COMPLETED, stopping)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: evaluator.run([0]))

    assert trainer.run([0], max_epochs=10).epoch == 2


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"patience": 0}, "patience must be at least 1, not 0"),
        ({"min_delta": -0.1}, "min_delta must not be negative"),
    ],
)
def test_arguments_are_checked_early(options: dict[str, Any], complaint: str) -> None:
    """A patience of nothing and a negative delta are refused."""
    with pytest.raises(ValueError, match=complaint):
        make([], **options)


def make(scores: Iterable[float], **options: Any) -> tuple[Engine, EarlyStopping]:
    """Make a trainer whose epochs have these scores."""
    trainer = Engine(lambda engine, batch: None)
    coming = iter(scores)
    given = {"patience": 2, **options}
    stopping = EarlyStopping(score_function=lambda engine: next(coming), trainer=trainer, **given)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, stopping)
    return trainer, stopping
