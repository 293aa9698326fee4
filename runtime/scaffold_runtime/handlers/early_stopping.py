"""End a run that no longer gets better."""

from __future__ import annotations

import logging
import math
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Literal

from scaffold_runtime.engine import Engine
from scaffold_runtime.events import Events

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
        threshold: float = 0.0,
        cumulative: bool = False,
        threshold_mode: Literal["abs", "rel"] = "abs",
        mode: Literal["max", "min"] = "max",
        min_delta: float | None = None,
        min_delta_mode: Literal["abs", "rel"] | None = None,
        cumulative_delta: bool | None = None,
        *,
        stopping_threshold: float | None = None,
        divergence_threshold: float | None = None,
        check_finite: bool = False,
    ) -> None:
        """
        Args:
            patience: Calls without a better score after which the trainer ends.
            score_function: Gives the score.
            trainer: The engine that is terminated.
            threshold: By how much a score must be better to count as better.
            cumulative: Count small steps together, from the last score that was
                better by `threshold`.
            threshold_mode: Whether `threshold` is a difference ("abs") or a share of
                the best score ("rel").
            mode: Whether a larger or a smaller score is better.
            min_delta: Another name of `threshold`.
            min_delta_mode: Another name of `threshold_mode`.
            cumulative_delta: Another name of `cumulative`.
            stopping_threshold: End the run as soon as the score is as good as this.
            divergence_threshold: End it as soon as the score is worse than this.
            check_finite: End it as soon as the score is NaN or infinite.

        Raises:
            ValueError: `patience` is below 1, `threshold` below 0, or a mode is none.
        """
        threshold = threshold if min_delta is None else min_delta
        threshold_mode = min_delta_mode or threshold_mode
        if patience < 1:
            raise ValueError(f"patience must be at least 1, not {patience}")
        if threshold < 0.0:
            name = "threshold" if min_delta is None else "min_delta"
            raise ValueError(f"{name} must not be negative, not {threshold}")
        if mode not in ("max", "min"):
            raise ValueError(f"mode must be 'max' or 'min', not {mode!r}")
        if threshold_mode not in ("abs", "rel"):
            raise ValueError(f"threshold_mode must be 'abs' or 'rel', not {threshold_mode!r}")
        self.patience = patience
        self.score_function = score_function
        self.trainer = trainer
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.cumulative = cumulative if cumulative_delta is None else cumulative_delta
        self.stopping_threshold = stopping_threshold
        self.divergence_threshold = divergence_threshold
        self.check_finite = check_finite
        self._sign = 1.0 if mode == "max" else -1.0
        self.reset()
        myself = weakref.ref(self)  # The trainer does not keep what keeps the trainer.
        trainer.add_event_handler(Events.STARTED, lambda: _stay_stopped(myself()))

    def reset(self) -> None:
        """Forget the scores so far."""
        self.counter = 0
        self.best_score = -self._sign * math.inf
        self._score: float | None = None

    def __call__(self, engine: Engine) -> None:
        self._score = float(self.score_function(engine))
        self._count(self._score)
        self._stop()

    def _stop(self) -> None:
        if self._score is not None and (reason := self._reason_to_stop(self._score)):
            logger.info("the run ends after epoch %d: %s", self.trainer.state.epoch, reason)
            self.trainer.terminate()

    def _count(self, score: float) -> None:
        gain = self._sign * (score - self.best_score)
        needed = self.threshold
        if self.threshold_mode == "rel" and math.isfinite(self.best_score):
            needed *= abs(self.best_score)
        self.counter = 0 if gain > needed else self.counter + 1
        if gain > (needed if self.cumulative else 0.0):
            self.best_score = score

    def _reason_to_stop(self, score: float) -> str | None:
        if self.check_finite and not math.isfinite(score):
            return f"the score is {score}"
        enough = self.stopping_threshold
        if enough is not None and self._sign * (score - enough) >= 0.0:
            return f"the score {score} has reached {enough}"
        limit = self.divergence_threshold
        if limit is not None and self._sign * (score - limit) < 0.0:
            return f"the score {score} is worse than {limit}"
        if self.counter >= self.patience:
            return f"the score was not better than {self.best_score} {self.counter} times in a row"
        return None

    def state_dict(self) -> dict[str, Any]:
        """Return the last score, the best one, and how many calls ago that was."""
        return {"counter": self.counter, "best_score": self.best_score, "score": self._score}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take up what `state_dict` returned."""
        self.counter = state_dict["counter"]
        self.best_score = state_dict["best_score"]
        self._score = state_dict.get("score")


def _stay_stopped(stopping: EarlyStopping | None) -> None:
    """End a run again that had been stopped, unless there is more patience now."""
    if stopping is not None and stopping.trainer.is_resuming:
        stopping._stop()
