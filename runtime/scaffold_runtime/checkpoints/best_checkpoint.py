"""The best models of a run, kept on disk."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from scaffold_runtime.checkpoints.archive import read_checkpoint, write_checkpoint
from scaffold_runtime.checkpoints.parts import Stateful, check_parts, load_parts, states_of
from scaffold_runtime.checkpoints.saving import OnError, check_on_error, survive_disk_errors
from scaffold_runtime.engine import Engine
from scaffold_runtime.errors import CheckpointError, NothingSavedError

logger = logging.getLogger(__name__)


class BestCheckpoint:
    """
    Keep the parts of a run as they were when its scores were best.

    A file's name carries the model, the score and the trainer's iteration, so no
    two of a run are alike: `best_cnn_accuracy=0.9861_iteration=204.pt`. A better
    state is on disk before a worse one is removed. NaN is never among the best.

    >>> import tempfile
    >>> import torch
    >>> engine, model = Engine(lambda engine, batch: None), torch.nn.Linear(2, 1)
    >>> best = BestCheckpoint(Path(tempfile.mkdtemp()), {"model": model}, engine, "accuracy")
    >>> best.offer(0.9), best.offer(0.8), best.offer(math.nan)
    (True, False, False)
    >>> best.path.name
    'best_model_accuracy=0.9000_iteration=0.pt'
    """

    def __init__(
        self,
        save_path: Path,
        to_save: Mapping[str, Stateful],
        trainer: Engine,
        score_name: str = "score",
        mode: Literal["max", "min"] = "max",
        n_saved: int = 1,
        model_name: str = "model",
        on_error: OnError = "continue",
    ) -> None:
        """
        Args:
            save_path: The folder; it is made when needed.
            to_save: The parts, each under its name.
            trainer: Its iteration goes into the names.
            score_name: What the score is, for the names.
            mode: Whether a larger or a smaller score is better.
            n_saved: How many are kept.
            model_name: What the model is, for the names.
            on_error: When a file cannot be written: "continue" says so in one line of
                the log and goes on with those there are, "stop" raises.
        """
        if n_saved < 1:
            raise ValueError(f"n_saved must be at least 1, not {n_saved}")
        if mode not in ("max", "min"):
            raise ValueError(f"mode must be 'max' or 'min', not {mode!r}")
        if {"/", "\\"} & set(score_name + model_name):
            raise ValueError(f"{score_name!r} and {model_name!r} go into a file's name: no slashes")
        self._folder = Path(save_path)
        self._parts = check_parts(to_save)
        self._trainer = trainer
        self._score_name = score_name
        self._sign = 1.0 if mode == "max" else -1.0
        self._n_saved = n_saved
        self._model_name = model_name
        self._on_error = check_on_error(on_error)
        self._kept: list[tuple[float, str]] = []  # Scores and file names, the best first.

    @property
    def path(self) -> Path | None:
        """The file of the best state so far, if there is one."""
        return self._folder / self._kept[0][1] if self._kept else None

    @property
    def score(self) -> float:
        """The best score so far; NaN before the first."""
        return self._kept[0][0] if self._kept else math.nan

    def offer(self, score: float) -> bool:
        """Keep the state at hand if its score is among the best (of equal ones, the older)."""
        score = float(score)
        if math.isnan(score) or not self._is_among_the_best(score):
            return False
        name = self._unused_name(score)
        iteration = self._trainer.state.iteration
        content = {
            **states_of(self._parts),
            "rank": self._sign * score,
            "iteration": iteration,
            "model_name": self._model_name,
        }
        with survive_disk_errors(self._on_error):
            write_checkpoint(self._folder / name, content)
            self._keep(score, name)
        return (score, name) in self._kept

    def state_dict(self) -> dict[str, Any]:
        """Return which files are kept, and their scores."""
        return {"kept": [[score, name] for score, name in self._kept]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """
        Take up the files that were kept, as far as they are still there.

        One that is gone was pushed out by a better one after the state was saved;
        the run that goes on will offer that one again.
        """
        self._kept = [
            (score, name) for score, name in state_dict["kept"] if (self._folder / name).exists()
        ]

    def _unused_name(self, score: float) -> str:
        """Return a name that no kept file has, also if the trainer stood still between two."""
        name = f"best_{self._model_name}_{self._score_name}={score:.4f}"
        name = f"{name}_iteration={self._trainer.state.iteration}"
        kept = {name for _, name in self._kept}
        endings = (f"-{number}.pt" if number else ".pt" for number in range(len(kept) + 1))
        return next(name + ending for ending in endings if name + ending not in kept)

    def _is_among_the_best(self, score: float) -> bool:
        if len(self._kept) < self._n_saved:
            return True
        return self._is_better(score, self._kept[-1][0])

    def _is_better(self, score: float, other: float) -> bool:
        return self._sign * score > self._sign * other

    def _keep(self, score: float, name: str) -> None:
        ranked = sorted([*self._kept, (score, name)], key=lambda kept: -self._sign * kept[0])
        self._kept, dropped = ranked[: self._n_saved], ranked[self._n_saved :]
        for _, worse in dropped:  # Only now: the better one is safe on disk.
            (self._folder / worse).unlink(missing_ok=True)


def restore_best(
    folder: Path, parts: Mapping[str, Stateful], model_name: str | None = None
) -> Path:
    """
    Load the parts from the best file (of equal ones, the oldest) of a `BestCheckpoint`.

    Args:
        folder: Where it keeps them.
        parts: Those it was given, under the same names.
        model_name: The one it was given, if several keep their files in this folder.

    Returns:
        The path of the file.

    Raises:
        NothingSavedError: There is none that can be read.
        CheckpointError: It does not fit.

    >>> import tempfile
    >>> import torch
    >>> folder, model = Path(tempfile.mkdtemp()), torch.nn.Linear(1, 1)
    >>> trainer = Engine(lambda engine, batch: None)
    >>> BestCheckpoint(folder, {"model": model}, trainer, "accuracy").offer(0.9)
    True
    >>> restore_best(folder, {"model": model}).name
    'best_model_accuracy=0.9000_iteration=0.pt'
    """
    found = []
    for file in sorted(Path(folder).glob("best_*.pt")):
        try:
            content = read_checkpoint(file)
        except CheckpointError as error:
            logger.warning("%s; it is passed over", error)
            continue
        if model_name in (None, content.get("model_name")):
            found.append((file, content))
    if not found:
        which = "" if model_name is None else f" of {model_name}"
        raise NothingSavedError(f"there is no good best checkpoint{which} in {folder}")
    path, content = max(found, key=lambda pair: (pair[1]["rank"], -pair[1].get("iteration", 0)))
    load_parts(path, content, parts)
    return path
