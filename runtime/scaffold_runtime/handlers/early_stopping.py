"""End a run that no longer gets better."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from scaffold_runtime.engine import Engine


class EarlyStopping:
    """
    Terminate the trainer when a score has not risen for `patience` calls.

    Attach it to the engine that the score comes from, usually the evaluator's
    `COMPLETED`. NaN is no improvement.

    >>> from scaffold_runtime import Events
    >>> trainer = Engine(lambda engine, batch: None)
    >>> scores = iter([0.5, 0.7, 0.6, 0.7, 0.9])
    >>> stopping = EarlyStopping(2, lambda engine: next(scores), trainer)
    >>> handle = trainer.add_event_handler(Events.EPOCH_COMPLETED, stopping)
    >>> trainer.run([0], max_epochs=100).epoch
    4
    """

    def __init__(
        self,
        patience: int,
        score_function: Callable[[Engine], float],
        trainer: Engine,
        min_delta: float = 0.0,
        cumulative_delta: bool = False,
    ) -> None:
        """
        Args:
            patience: Calls without a better score after which the trainer ends.
            score_function: Gives the score; larger is better (negate a loss).
            trainer: The engine that is terminated.
            min_delta: By how much a score must be larger to be better.
            cumulative_delta: Count small rises together, from the last score that
                was better by `min_delta`.

        Raises:
            ValueError: `patience` is below 1 or `min_delta` below 0.
        """
        if patience < 1:
            raise ValueError(f"patience must be at least 1, not {patience}")
        if min_delta < 0.0:
            raise ValueError(f"min_delta must not be negative, not {min_delta}")
        self.patience = patience
        self.score_function = score_function
        self.trainer = trainer
        self.min_delta = min_delta
        self.cumulative_delta = cumulative_delta
        self.counter = 0
        self.best_score = -math.inf

    def __call__(self, engine: Engine) -> None:
        score = float(self.score_function(engine))
        if score > self.best_score + self.min_delta:
            self.best_score = score
            self.counter = 0
            return
        if score > self.best_score and not self.cumulative_delta:
            self.best_score = score
        self.counter += 1
        if self.counter >= self.patience:
            self.trainer.terminate()

    def state_dict(self) -> dict[str, Any]:
        """Return the best score and how many calls ago it was."""
        return {"counter": self.counter, "best_score": self.best_score}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take up what `state_dict` returned."""
        self.counter = state_dict["counter"]
        self.best_score = state_dict["best_score"]
