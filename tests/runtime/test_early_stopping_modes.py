"""Runs that end when they no longer get better."""

from __future__ import annotations

import math
from typing import Any

import pytest

from scaffold_runtime import EarlyStopping, Engine, Events


def epochs(scores: list[float], patience: int = 2, **options: Any) -> int:
    """Return how many epochs a run makes that has these scores, one an epoch."""
    trainer = Engine(lambda engine, batch: None)
    stopping = EarlyStopping(
        patience, lambda engine: scores[engine.state.epoch - 1], trainer, **options
    )
    trainer.add_event_handler(Events.EPOCH_COMPLETED, stopping)
    return trainer.run([0], max_epochs=len(scores)).epoch


@pytest.mark.parametrize(
    ("scores", "options", "expected"),
    [
        ([1, 2, 3, 4, 5, 6], {}, 6),
        ([1, 2, 2, 2, 5, 6], {}, 4),
        ([6, 5, 4, 3, 2, 1], {"mode": "min"}, 6),
        ([6, 5, 5, 5, 2, 1], {"mode": "min"}, 4),
        ([1, 1.4, 1.8, 2.2, 2.6, 3], {"min_delta": 0.5}, 3),
        ([1, 1.4, 1.8, 2.2, 2.6, 3], {"min_delta": 0.5, "cumulative_delta": True}, 6),
        ([3, 2.6, 2.2, 1.8, 1.4, 1], {"min_delta": 0.5, "mode": "min"}, 3),
        ([1, 2, 3, 4, 5, 6], {"stopping_threshold": 3}, 3),
        ([6, 5, 4, 3, 2, 1], {"stopping_threshold": 3, "mode": "min"}, 4),
        ([5, 4, 3, 6, 7, 8], {"divergence_threshold": 3.5}, 3),
        ([1, 2, 9, 1, 1, 1], {"divergence_threshold": 8, "mode": "min"}, 3),
        ([1, 2, math.nan, 3, 4, 5], {"check_finite": True}, 3),
        ([1, 2, math.inf, 3, 4, 5], {"check_finite": True}, 3),
        ([1, 2, math.nan, 3, 4, 5], {}, 6),
        ([math.nan, math.nan, 3, 4, 5, 6], {}, 2),
    ],
)
def test_a_run_ends_when_its_scores_say_so(
    scores: list[float], options: dict[str, Any], expected: int
) -> None:
    """Patience, mode, differences, thresholds and numbers that are none."""
    assert epochs(scores, **options) == expected


def test_a_run_that_goes_on_counts_on() -> None:
    """The best score and the calls since then are saved and loaded."""
    trainer = Engine(lambda engine, batch: None)
    scores = iter([0.5, 0.4, 0.4])
    old, new = (EarlyStopping(2, lambda engine: next(scores), trainer) for _ in range(2))
    old(trainer)
    old(trainer)
    new.load_state_dict(old.state_dict())
    trainer.add_event_handler(Events.EPOCH_COMPLETED, new)
    assert trainer.run([0], max_epochs=9).epoch == 1


@pytest.mark.parametrize("options", [{"patience": 0}, {"min_delta": -1}, {"mode": "up"}])
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    """What makes no sense is refused when it is made."""
    with pytest.raises(ValueError, match=next(iter(options))):
        epochs([1], **{"patience": 1, **options})
