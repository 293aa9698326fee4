"""What all loggers have in common."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import nn

from scaffold_runtime.dispatcher import AnyEvent
from scaffold_runtime.engine import Engine
from scaffold_runtime.errors import UserError
from scaffold_runtime.events import Events
from scaffold_runtime.listeners import RemovableEventHandle
from scaffold_runtime.loggers.values import gradients, norms
from scaffold_runtime.state import State

Transform = Callable[[Any], Any]


class Logger(ABC):
    """
    Writes numbers of a run somewhere; a logger of your own defines `log`.

    >>> class Printer(Logger):
    ...     def log(self, split, state, values):
    ...         print(split, state.iteration, values)
    >>> engine = Engine(lambda engine, batch: {"loss": batch})
    >>> with Printer() as printer:
    ...     handle = printer.attach_output_handler(
    ...         engine, Events.EPOCH_COMPLETED, "train", output_transform=lambda output: output
    ...     )
    ...     state = engine.run([2.0, 1.0])
    train 2 {'loss': 1.0}
    """

    @abstractmethod
    def log(self, split: str, state: State, values: Mapping[str, Any]) -> None:
        """Log values; those that are tensors are read now, and wait for their device."""

    def attach_output_handler(
        self,
        engine: Engine,
        event_name: AnyEvent,
        tag: str,
        metric_names: Sequence[str] | Literal["all"] = "all",
        output_transform: Transform | None = None,
        trainer: Engine | None = None,
    ) -> RemovableEventHandle:
        """
        Log the engine's metrics, under the split `tag`, whenever the event happens.

        Args:
            engine: Has the metrics and the output.
            event_name: When they are logged.
            tag: The split: "train", "valid", ...
            metric_names: Which of `state.metrics`.
            output_transform: Makes of the output a mapping to be logged as well, or
                one number, which is called `output`.
            trainer: Whose epoch and iteration it is logged under, if not the engine's.
        """
        if not engine.has_event_handler(self.flush):
            engine.add_event_handler(Events.COMPLETED | Events.EXCEPTION_RAISED, self.flush)
        return engine.add_event_handler(
            event_name, self._log_engine, tag, metric_names, output_transform, trainer
        )

    def attach_opt_params_handler(
        self,
        engine: Engine,
        event_name: AnyEvent,
        optimizer: torch.optim.Optimizer,
        param_name: str = "lr",
        tag: str = "optimizer",
    ) -> RemovableEventHandle:
        """Log a parameter of each of the optimizer's groups: by default its learning rate."""
        return engine.add_event_handler(event_name, self._log_optimizer, optimizer, param_name, tag)

    def attach_model_handler(
        self, engine: Engine, event_name: AnyEvent, model: nn.Module
    ) -> RemovableEventHandle:
        """Log the norms of the model's weights and gradients, under the parameters' names."""
        return engine.add_event_handler(event_name, self._log_model, model)

    def flush(self) -> None:  # noqa: B027 - most loggers write at once.
        """Write what is not written yet."""

    def close(self) -> None:
        """Write what is not written yet and let go of files; harmless to do twice."""
        self.flush()

    def state_dict(self) -> dict[str, Any]:
        """Return what is needed to go on with the same files."""
        return {}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:  # noqa: B027
        """Take up what `state_dict` returned."""

    def __enter__(self) -> Logger:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _log_engine(
        self,
        engine: Engine,
        tag: str,
        metric_names: Sequence[str] | Literal["all"],
        output_transform: Transform | None,
        trainer: Engine | None,
    ) -> None:
        metrics = engine.state.metrics
        names = metrics if metric_names == "all" else metric_names
        values = {name: metrics[name] for name in names}
        if output_transform is not None:
            output = output_transform(engine.state.output)
            values |= output if isinstance(output, Mapping) else {"output": output}
        self.log(tag, (trainer or engine).state, values)

    def _log_optimizer(
        self, engine: Engine, optimizer: torch.optim.Optimizer, param_name: str, tag: str
    ) -> None:
        values = [group[param_name] for group in optimizer.param_groups]
        self.log(tag, engine.state, {param_name: values[0] if len(values) == 1 else values})

    def _log_model(self, engine: Engine, model: nn.Module) -> None:
        named = [(name, each.detach()) for name, each in model.named_parameters()]
        self.log("weight_norm", engine.state, norms(named))
        self.log("gradient_norm", engine.state, norms(gradients(model)))


class Loggers(Logger):
    """
    Several loggers as one.

    >>> from scaffold_runtime.loggers import CsvLogger, JsonLinesLogger
    >>> loggers = Loggers(JsonLinesLogger("metrics.jsonl"), CsvLogger("metrics.csv"))
    """

    def __init__(self, *loggers: Logger) -> None:
        self.loggers = loggers

    def log(self, split: str, state: State, values: Mapping[str, Any]) -> None:
        for logger in self.loggers:
            logger.log(split, state, values)

    def flush(self) -> None:
        for logger in self.loggers:
            logger.flush()

    def close(self) -> None:
        for logger in self.loggers:
            logger.close()

    def state_dict(self) -> dict[str, Any]:
        return {"loggers": [logger.state_dict() for logger in self.loggers]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        for logger, saved in zip(self.loggers, state_dict["loggers"], strict=True):
            logger.load_state_dict(saved)

    def _log_model(self, engine: Engine, model: nn.Module) -> None:
        for logger in self.loggers:
            logger._log_model(engine, model)


def import_optional(module: str, extra: str) -> Any:
    """
    Import a module that only one logger needs.

    Raises:
        UserError: It is not installed; the message names the extra that brings it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"{error.name or module} is not installed; get it with `pip install -e '.[{extra}]'`"
        ) from None
