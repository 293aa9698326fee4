"""Ready-made engines for the usual supervised step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn

from scaffold_runtime.device import Device, to_device
from scaffold_runtime.engine import Engine
from scaffold_runtime.metrics.metric import Metric
from scaffold_runtime.updates import Updater


def prepare_batch(batch: Any, device: Device = None, non_blocking: bool = False) -> tuple[Any, Any]:
    """
    Split a batch into inputs and targets, on the device.

    >>> prepare_batch((torch.zeros(2), torch.ones(2)), "cpu")
    (tensor([0., 0.]), tensor([1., 1.]))
    """
    x, y = batch
    return to_device(x, device, non_blocking), to_device(y, device, non_blocking)


def create_supervised_trainer(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss_fn: Callable[[Any, Any], Tensor],
    device: Device = None,
    non_blocking: bool = False,
    prepare_batch: Callable[[Any, Device, bool], tuple[Any, Any]] = prepare_batch,
    model_transform: Callable[[Any], Any] = lambda output: output,
    output_transform: Callable[[Any, Any, Any, Tensor], Any] = lambda x, y, y_pred, loss: loss,
    *,
    amp_mode: Literal["amp"] | None = None,
    amp_dtype: torch.dtype | None = None,
    scaler: bool | torch.amp.GradScaler = False,
    gradient_accumulation_steps: int = 1,
    gradient_clip_val: float | None = None,
    gradient_clip_algorithm: Literal["norm", "value"] = "norm",
    model_fn: Callable[[Any, Any], Any] = lambda model, x: model(x),
    compile: bool = False,
) -> Engine:
    """
    Make an engine whose step is forward, loss, backward and update.

    Its updates are made by an `Updater`, which is in `state.updater`.

    Args:
        model: Maps inputs to predictions; it must be on the device already.
        optimizer: Updates the model's parameters.
        loss_fn: Takes predictions and targets, returns one number.
        device: Where batches are moved to; by default they stay where they are.
        non_blocking: Do not wait for copies out of pinned memory.
        prepare_batch: Makes `(x, y)` of a batch, on the device.
        model_transform: Makes the predictions of what the model returned.
        output_transform: Makes the output of `(x, y, y_pred, loss)`; by default
            the loss, a detached tensor, reading which waits for the device.
        amp_mode: "amp" computes forward and loss in mixed precision.
        amp_dtype: Its smaller type, `torch.bfloat16` or `torch.float16`; by default
            torch's choice for the model's device.
        scaler: Scale the loss, which float16 needs; or the scaler to do it with.
        gradient_accumulation_steps: Batches for one update; see `Updater`.
        gradient_clip_val: The largest norm of all gradients together, which before
            clipping is in `state.metrics["gradient_norm"]`; or the largest value.
        gradient_clip_algorithm: "norm" or "value".
        model_fn: Calls the model with the inputs.
        compile: Compile the model with `torch.compile`.

    Raises:
        ValueError: A scaler without mixed precision, or a number is out of range.

    >>> model = nn.Linear(1, 1)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> trainer = create_supervised_trainer(model, optimizer, nn.functional.mse_loss)
    >>> x = torch.randn(8, 1)
    >>> state = trainer.run([(x, 3 * x)], max_epochs=200)
    >>> bool(state.output < 0.01)
    True
    """
    if scaler and amp_mode is None:
        raise ValueError("a scaler is for mixed precision: give amp_mode='amp' as well")
    precision = _precision(model, amp_mode, amp_dtype)
    updater = Updater(
        optimizer,
        gradient_accumulation_steps,
        gradient_clip_val,
        gradient_clip_algorithm,
        _make_scaler(model, scaler),
    )
    forward = torch.compile(model) if compile else model

    def train_step(engine: Engine, batch: Any) -> Any:
        model.train()
        x, y = prepare_batch(batch, device, non_blocking)
        with precision():
            y_pred = model_transform(model_fn(forward, x))
            loss = loss_fn(y_pred, y)
        updater.backward(loss)
        updater.step(engine)
        return output_transform(x, y, y_pred, loss.detach())

    trainer = Engine(train_step)
    trainer.state.updater = updater
    updater.attach(trainer)
    return trainer


def create_supervised_evaluator(
    model: nn.Module,
    metrics: Mapping[str, Metric] | None = None,
    device: Device = None,
    non_blocking: bool = False,
    prepare_batch: Callable[[Any, Device, bool], tuple[Any, Any]] = prepare_batch,
    model_transform: Callable[[Any], Any] = lambda output: output,
    output_transform: Callable[[Any, Any, Any], Any] = lambda x, y, y_pred: (y_pred, y),
    *,
    amp_mode: Literal["amp"] | None = None,
    amp_dtype: torch.dtype | None = None,
    model_fn: Callable[[Any, Any], Any] = lambda model, x: model(x),
    compile: bool = False,
) -> Engine:
    """
    Make an engine that predicts and measures, in evaluation mode and without gradients.

    Args:
        model: Maps inputs to predictions; it must be on the device already.
        metrics: What to measure, under which name.
        device: Where batches are moved to; by default they stay where they are.
        non_blocking: Do not wait for copies out of pinned memory.
        prepare_batch: Makes `(x, y)` of a batch, on the device.
        model_transform: Makes the predictions of what the model returned.
        output_transform: Makes the output, which the metrics take up, of
            `(x, y, y_pred)`.
        amp_mode: "amp" predicts in mixed precision.
        amp_dtype: Its smaller type; by default torch's choice for the device.
        model_fn: Calls the model with the inputs.
        compile: Compile the model with `torch.compile`.

    >>> from scaffold_runtime import Accuracy
    >>> evaluator = create_supervised_evaluator(nn.Identity(), {"accuracy": Accuracy()})
    >>> scores, labels = torch.eye(3), torch.tensor([0, 1, 1])
    >>> state = evaluator.run([(scores, labels)])
    >>> round(state.metrics["accuracy"], 3)
    0.667
    """
    precision = _precision(model, amp_mode, amp_dtype)
    forward = torch.compile(model) if compile else model

    @torch.no_grad()
    def evaluation_step(engine: Engine, batch: Any) -> Any:
        model.eval()
        x, y = prepare_batch(batch, device, non_blocking)
        with precision():
            y_pred = model_transform(model_fn(forward, x))
        return output_transform(x, y, y_pred)

    evaluator = Engine(evaluation_step)
    for name, metric in (metrics or {}).items():
        metric.attach(evaluator, name)
    return evaluator


def _precision(
    model: nn.Module, amp_mode: str | None, amp_dtype: torch.dtype | None
) -> Callable[[], AbstractContextManager[Any]]:
    """Return what a forward pass runs in."""
    if amp_mode not in ("amp", None):
        raise ValueError(f"amp_mode is 'amp' or None, not {amp_mode!r}")
    if amp_mode is None:
        return nullcontext
    device_type = _device_type(model)
    return lambda: torch.autocast(device_type, dtype=amp_dtype)


def _make_scaler(
    model: nn.Module, scaler: bool | torch.amp.GradScaler
) -> torch.amp.GradScaler | None:
    if isinstance(scaler, bool):
        return torch.amp.GradScaler(_device_type(model)) if scaler else None
    return scaler


def _device_type(model: nn.Module) -> str:
    return next((each.device.type for each in model.parameters()), "cpu")
