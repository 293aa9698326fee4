"""Ready-made engines for the usual supervised step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from scaffold_runtime.engine import Engine
from scaffold_runtime.metrics.metric import Metric

Device = str | torch.device | None


def to_device(value: Any, device: Device, non_blocking: bool = False) -> Any:
    """Move the tensors in a tensor, or in nested sequences and mappings, to a device."""
    if isinstance(value, Tensor):
        return value if device is None else value.to(device, non_blocking=non_blocking)
    if isinstance(value, Mapping):
        return {key: to_device(item, device, non_blocking) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        items = [to_device(item, device, non_blocking) for item in value]
        if hasattr(value, "_fields"):  # A named tuple takes its items one by one.
            return type(value)(*items)
        return tuple(items) if isinstance(value, tuple) else items
    return value


def prepare_batch(batch: Any, device: Device = None, non_blocking: bool = False) -> tuple[Any, Any]:
    """Split a batch into inputs and targets, on the device."""
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
) -> Engine:
    """
    Make an engine whose step is forward, loss, backward and update.

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

    >>> model = nn.Linear(1, 1)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> trainer = create_supervised_trainer(model, optimizer, nn.functional.mse_loss)
    >>> x = torch.randn(8, 1)
    >>> state = trainer.run([(x, 3 * x)], max_epochs=200)
    >>> bool(state.output < 0.01)
    True
    """

    def train_step(engine: Engine, batch: Any) -> Any:
        model.train()
        x, y = prepare_batch(batch, device, non_blocking)
        y_pred = model_transform(model(x))
        loss = loss_fn(y_pred, y)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return output_transform(x, y, y_pred, loss.detach())

    return Engine(train_step)


def create_supervised_evaluator(
    model: nn.Module,
    metrics: Mapping[str, Metric] | None = None,
    device: Device = None,
    non_blocking: bool = False,
    prepare_batch: Callable[[Any, Device, bool], tuple[Any, Any]] = prepare_batch,
    model_transform: Callable[[Any], Any] = lambda output: output,
    output_transform: Callable[[Any, Any, Any], Any] = lambda x, y, y_pred: (y_pred, y),
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

    >>> from scaffold_runtime import Accuracy
    >>> evaluator = create_supervised_evaluator(nn.Identity(), {"accuracy": Accuracy()})
    >>> scores, labels = torch.eye(3), torch.tensor([0, 1, 1])
    >>> state = evaluator.run([(scores, labels)])
    >>> round(state.metrics["accuracy"], 3)
    0.667
    """

    @torch.no_grad()
    def evaluation_step(engine: Engine, batch: Any) -> Any:
        model.eval()
        x, y = prepare_batch(batch, device, non_blocking)
        return output_transform(x, y, model_transform(model(x)))

    evaluator = Engine(evaluation_step)
    for name, metric in (metrics or {}).items():
        metric.attach(evaluator, name)
    return evaluator
