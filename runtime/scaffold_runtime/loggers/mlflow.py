"""Metrics for MLflow, in a database on this machine."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scaffold_runtime.loggers.base import Logger, import_optional
from scaffold_runtime.loggers.values import scalars
from scaffold_runtime.state import State

LARGEST_BATCH = 1000  # What MLflow takes at once.


class MLflowLogger(Logger):
    """
    Log to an MLflow run, many values at a time, since each call takes milliseconds.

    A value's key is `split/name`, its step the iteration. Values are written when
    `flush_every` of them wait, with each checkpoint, and at the end of a run. The
    extra `mlflow` must be installed.

    >>> from scaffold_runtime import Engine, Events
    >>> trainer = Engine(lambda engine, batch: None)
    >>> logger = MLflowLogger("sqlite:///runs/mlflow.db", run_name="first")
    >>> often = Events.ITERATION_COMPLETED(every=50)
    >>> handle = logger.attach_output_handler(trainer, often, "train")
    >>> logger.close()

    `mlflow ui --backend-store-uri sqlite:///runs/mlflow.db` shows it.
    """

    def __init__(
        self,
        tracking_uri: str = "sqlite:///mlflow.db",
        experiment_name: str = "Default",
        run_name: str | None = None,
        flush_every: int = 200,
    ) -> None:
        """
        Args:
            tracking_uri: The database, a file for example, or a server.
            experiment_name: Made when it is not there.
            run_name: By default one that MLflow makes up.
            flush_every: Values that wait before they are written together.

        Raises:
            UserError: MLflow is not installed.
            ValueError: `flush_every` is not between 1 and 1000.
        """
        if not 1 <= flush_every <= LARGEST_BATCH:
            raise ValueError(f"flush_every must be from 1 to {LARGEST_BATCH}, not {flush_every}")
        self._mlflow = import_optional("mlflow", "mlflow")
        self._tracking_uri = tracking_uri
        self._experiment_name = experiment_name
        self._run_name = run_name
        self._flush_every = flush_every
        self._waiting: list[Any] = []
        self._client: Any = None
        self.run_id: str | None = None  # Of the run, which begins with the first values.

    def log(self, split: str, state: State, values: Mapping[str, Any]) -> None:
        now, step = int(time.time() * 1000), state.iteration
        self._waiting += [
            self._mlflow.entities.Metric(f"{split}/{name}", value, now, step)
            for name, value in scalars(values).items()
        ]
        if len(self._waiting) >= self._flush_every:
            self.flush()

    def flush(self) -> None:
        while self._waiting:
            batch, rest = self._waiting[:LARGEST_BATCH], self._waiting[LARGEST_BATCH:]
            self._begin().log_batch(self.run_id, metrics=batch)
            self._waiting = rest

    def close(self) -> None:
        self.flush()
        if self._client is not None:
            self._client.set_terminated(self.run_id)
            self._client = None

    def state_dict(self) -> dict[str, Any]:
        """Return which run it is."""
        self.flush()
        return {"run_id": self.run_id}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on with that run; MLflow keeps what was logged later as well."""
        self.run_id = state_dict["run_id"]

    def _begin(self) -> Any:
        if self._client is None:
            if self._tracking_uri.startswith("sqlite:///"):
                file = Path(self._tracking_uri.removeprefix("sqlite:///"))
                file.parent.mkdir(parents=True, exist_ok=True)
            client = self._mlflow.MlflowClient(self._tracking_uri)
            if self.run_id is None:
                experiment = client.get_experiment_by_name(self._experiment_name)
                number = (
                    experiment.experiment_id
                    if experiment
                    else client.create_experiment(self._experiment_name)
                )
                self.run_id = client.create_run(number, run_name=self._run_name).info.run_id
            else:
                client.update_run(self.run_id, status="RUNNING")
            self._client = client
        return self._client
