"""Metrics for Weights & Biases."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scaffold_runtime.loggers.base import Logger, import_optional
from scaffold_runtime.loggers.values import scalars
from scaffold_runtime.state import State


class WandBLogger(Logger):
    """
    Log to a run of Weights & Biases, by default into files on this machine alone.

    A value's key is `split/name`, drawn over `iteration`. `wandb sync` sends the files
    of an offline run. The extra `wandb` must be installed.

    >>> from scaffold_runtime import Engine, Events
    >>> trainer = Engine(lambda engine, batch: None)
    >>> logger = WandBLogger(dir="runs/first", project="digits")
    >>> often = Events.ITERATION_COMPLETED(every=50)
    >>> handle = logger.attach_output_handler(trainer, often, "train")
    >>> logger.close()
    """

    def __init__(self, dir: str | Path = ".", mode: str = "offline", **options: Any) -> None:
        """
        Args:
            dir: Where the folder `wandb` goes.
            mode: "offline", or "online" to send everything at once.
            options: For `wandb.init`: `project`, `name`, `config`, ...

        Raises:
            UserError: The package is not installed.
        """
        self._wandb = import_optional("wandb", "wandb")
        # W&B's own process, which one run leaves to the next, may be in another folder.
        self._options = {"dir": str(Path(dir).absolute()), "mode": mode, **options}
        self._run: Any = None

    def log(self, split: str, state: State, values: Mapping[str, Any]) -> None:
        place = {"epoch": state.epoch, "iteration": state.iteration}
        numbers = {f"{split}/{name}": value for name, value in scalars(values).items()}
        self._begin().log({**numbers, **place})

    def close(self) -> None:
        if self._run is not None:
            self._run.finish()
            self._run = None

    def state_dict(self) -> dict[str, Any]:
        """Return which run it is."""
        return {"id": self._run.id if self._run else self._options.get("id")}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on with that run; what was logged later stays as well."""
        if state_dict["id"] is not None:
            self._options |= {"id": state_dict["id"], "resume": "allow"}

    def _begin(self) -> Any:
        if self._run is None:
            Path(self._options["dir"]).mkdir(parents=True, exist_ok=True)
            self._run = self._wandb.init(**self._options)
            self._run.define_metric("*", step_metric="iteration")
            self._options["id"] = self._run.id
        return self._run
