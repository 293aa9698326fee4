"""Metrics, histograms and pictures for TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from scaffold_runtime.engine import Engine
from scaffold_runtime.loggers.base import Logger, import_optional
from scaffold_runtime.loggers.values import gradients, scalars
from scaffold_runtime.state import State


class TensorboardLogger(Logger):
    """
    Write event files, which `tensorboard --logdir FOLDER` shows.

    A value's tag is `split/name`, its step the iteration. The extra `tensorboard`
    must be installed.

    >>> import tempfile
    >>> from scaffold_runtime import Events, create_supervised_trainer
    >>> from torch.optim import SGD
    >>> model = nn.Linear(1, 1)
    >>> optimizer = SGD(model.parameters(), lr=0.1)
    >>> trainer = create_supervised_trainer(model, optimizer, nn.functional.mse_loss)
    >>> logger = TensorboardLogger(Path(tempfile.mkdtemp()) / "tensorboard")
    >>> often = Events.ITERATION_COMPLETED(every=50)
    >>> handle = logger.attach_output_handler(trainer, often, "train")
    >>> handle = logger.attach_opt_params_handler(trainer, Events.EPOCH_STARTED, optimizer)
    >>> handle = logger.attach_model_handler(trainer, Events.EPOCH_COMPLETED, model)
    >>> logger.close()
    """

    def __init__(self, log_dir: str | Path, **options: Any) -> None:
        """
        Args:
            log_dir: Where the files go; made when the first value comes.
            options: For `torch.utils.tensorboard.SummaryWriter`.

        Raises:
            UserError: TensorBoard is not installed.
        """
        import_optional("tensorboard", "tensorboard")
        self.log_dir = Path(log_dir)
        self._options = options
        self._open_writer: Any = None
        self._step = 0

    def log(self, split: str, state: State, values: Mapping[str, Any]) -> None:
        writer = self._writer(state)
        for name, value in scalars(values).items():
            writer.add_scalar(f"{split}/{name}", value, self._step)

    def log_images(self, tag: str, state: State, images: Tensor) -> None:
        """
        Show pictures side by side.

        Args:
            tag: Their title.
            state: Has the iteration they belong to.
            images: Of shape `(N, 1, H, W)` or `(N, 3, H, W)`, values from 0 to 1.
        """
        self._writer(state).add_images(tag, images.detach(), self._step)

    def flush(self) -> None:
        if self._open_writer is not None:
            self._open_writer.flush()

    def close(self) -> None:
        if self._open_writer is not None:
            self._open_writer.close()
            self._open_writer = None

    def state_dict(self) -> dict[str, int]:
        """Return the last step that was logged."""
        self.flush()
        return {"step": self._step}

    def load_state_dict(self, state_dict: Mapping[str, int]) -> None:
        """Let TensorBoard pass over what was logged after the state was saved."""
        self.close()
        self._step = state_dict["step"]
        self._options["purge_step"] = self._step + 1

    def _log_model(self, engine: Engine, model: nn.Module) -> None:
        super()._log_model(engine, model)
        for kind, named in (
            ("weight", [(name, each.detach()) for name, each in model.named_parameters()]),
            ("gradient", gradients(model)),
        ):
            for name, tensor in named:
                finite = tensor[tensor.isfinite()].float()
                if finite.numel():
                    self._open_writer.add_histogram(f"{kind}/{name}", finite, self._step)

    def _writer(self, state: State) -> Any:
        self._step = state.iteration
        if self._open_writer is None:
            tensorboard = import_optional("torch.utils.tensorboard", "tensorboard")
            self._open_writer = tensorboard.SummaryWriter(str(self.log_dir), **self._options)
        return self._open_writer
