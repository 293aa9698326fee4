"""End a run that no longer gets better."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

from scaffold_runtime.engine import Engine

logger = logging.getLogger(__name__)


class EarlyStopping:
    """
    Terminate the trainer when a score has not improved for `patience` calls.

    Attach it to the engine that the score comes from, usually the evaluator's
    `COMPLETED`. NaN is never an improvement.

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
        *,
        mode: Literal["max", "min"] = "max",
        threshold: float | None = None,
        divergence_threshold: float | None = None,
        check_finite: bool = False,
    ) -> None:
        """
        Args:
            patience: Calls without a better score after which the trainer ends.
            score_function: Gives the score.
            trainer: The engine that is terminated.
            min_delta: By how much a score must be better to count as better.
            cumulative_delta: Count small steps together, from the last score that
                was better by `min_delta`.
            mode: Whether a larger or a smaller score is better.
            threshold: End the run as soon as the score is as good as this.
            divergence_threshold: End it as soon as the score is worse than this.
            check_finite: End it as soon as the score is NaN or infinite.

        Raises:
            ValueError: `patience` is below 1, `min_delta` below 0, or the mode is none.
        """
        if patience < 1:
            raise ValueError(f"patience must be at least 1, not {patience}")
        if min_delta < 0.0:
            raise ValueError(f"min_delta must not be negative, not {min_delta}")
        if mode not in ("max", "min"):
            raise ValueError(f"mode must be 'max' or 'min', not {mode!r}")
        self.patience = patience
        self.score_function = score_function
        self.trainer = trainer
        self.min_delta = min_delta
        self.cumulative_delta = cumulative_delta
        self.threshold = threshold
        self.divergence_threshold = divergence_threshold
        self.check_finite = check_finite
        self.counter = 0
        self._sign = 1.0 if mode == "max" else -1.0
        self.best_score = -self._sign * math.inf

    def __call__(self, engine: Engine) -> None:
        score = float(self.score_function(engine))
        self._count(score)
        if reason := self._reason_to_stop(score):
            logger.info("the run ends after epoch %d: %s", self.trainer.state.epoch, reason)
            self.trainer.terminate()

    def _count(self, score: float) -> None:
        gain = self._sign * (score - self.best_score)
        if gain > self.min_delta:
            self.counter = 0
        else:
            self.counter += 1
        if gain > (self.min_delta if self.cumulative_delta else 0.0):
            self.best_score = score

    def _reason_to_stop(self, score: float) -> str | None:
        if self.check_finite and not math.isfinite(score):
            return f"the score is {score}"
        if self.threshold is not None and self._sign * (score - self.threshold) >= 0.0:
            return f"the score {score} has reached {self.threshold}"
        limit = self.divergence_threshold
        if limit is not None and self._sign * (score - limit) < 0.0:
            return f"the score {score} is worse than {limit}"
        if self.counter >= self.patience:
            return f"the score was not better than {self.best_score} {self.counter} times in a row"
        return None

    def state_dict(self) -> dict[str, Any]:
        """Return the best score and how many calls ago it was."""
        return {"counter": self.counter, "best_score": self.best_score}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take up what `state_dict` returned."""
        self.counter = state_dict["counter"]
        self.best_score = state_dict["best_score"]
