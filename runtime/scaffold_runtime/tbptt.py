"""Truncated back-propagation through time: long sequences, learned window by window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from scaffold_runtime.device import Device, map_tensors, to_device
from scaffold_runtime.engine import Engine
from scaffold_runtime.events import EventEnum, Events
from scaffold_runtime.trainers import prepare_batch
from scaffold_runtime.updates import Updater


class Tbptt_Events(EventEnum):
    """
    What happens for each window of a batch; `state.time_iteration` counts the windows of a run.

    >>> Tbptt_Events.TIME_ITERATION_COMPLETED(every=100)
    Tbptt_Events.TIME_ITERATION_COMPLETED(every=100)
    """

    TIME_ITERATION_STARTED = "time_iteration_started"
    TIME_ITERATION_COMPLETED = "time_iteration_completed"
    """The weights are updated; the window's loss, a detached tensor, is in `state.output`."""


def create_supervised_tbptt_trainer(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss_fn: Callable[[Any, Any], Tensor],
    tbptt_step: int,
    dim: int = 0,
    device: Device = None,
    non_blocking: bool = False,
    prepare_batch: Callable[[Any, Device, bool], tuple[Tensor, Tensor]] = prepare_batch,
    *,
    carry_hidden: bool = False,
    gradient_clip_val: float | None = None,
    gradient_clip_algorithm: Literal["norm", "value"] = "norm",
) -> Engine:
    """
    Make an engine whose step goes through a batch in windows of `tbptt_step` time steps.

    Each window is forward, loss, backward and update. It begins with the hidden state
    that the window before it left, detached, so no gradient passes from one into the
    other (Williams and Peng, 1990). The output of a batch is the mean loss of its windows,
    each weighted by its length: a detached tensor, reading which waits for the device.

    By default every batch begins without a hidden state, as a batch of whole sequences
    has to. With `carry_hidden` it begins with that of the batch before, because its
    sequences go on there: those of a text that is cut into parallel streams. Where the
    engine begins the data again, it begins without one. `state.hidden` is the hidden
    state at hand: a handler may change it, or set it to None where a sequence ends. It is
    saved with the engine, and so is the count of windows.

    Args:
        model: Called as `model(x, hidden)`, where `hidden` is None at first; it returns
            `(y_pred, hidden)`, where `hidden` is a tensor or nested tuples, lists and
            mappings of tensors. It must be on the device already.
        optimizer: Updates the model's parameters, once for each window.
        loss_fn: Takes predictions and targets, returns their mean loss.
        tbptt_step: Time steps in a window; the last one of a batch may be shorter.
        dim: The dimension of inputs and targets that is time.
        device: Where batches are moved to; by default they stay where they are.
        non_blocking: Do not wait for copies out of pinned memory.
        prepare_batch: Makes `(x, y)` of a batch, two tensors, on the device.
        carry_hidden: Begin a batch with the hidden state that the one before it left.
        gradient_clip_val: The largest norm of all gradients together, which before
            clipping is in `state.metrics["gradient_norm"]`; or the largest value.
        gradient_clip_algorithm: "norm" or "value".

    Raises:
        ValueError: A number is out of range; or, in a run, inputs and targets differ in
            their length.

    >>> model = nn.RNN(input_size=1, hidden_size=1)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> trainer = create_supervised_tbptt_trainer(
    ...     model, optimizer, nn.functional.mse_loss, tbptt_step=4
    ... )
    >>> state = trainer.run([(torch.zeros(10, 2, 1), torch.zeros(10, 2, 1))])
    >>> state.time_iteration, state.hidden.shape
    (3, torch.Size([1, 2, 1]))
    """
    if tbptt_step < 1:
        raise ValueError(f"tbptt_step must be at least 1, not {tbptt_step}")
    updater = Updater(
        optimizer,
        gradient_clip_val=gradient_clip_val,
        gradient_clip_algorithm=gradient_clip_algorithm,
    )

    def train_window(engine: Engine, x: Tensor, y: Tensor) -> Tensor:
        model.train()
        hidden = to_device(engine.state.hidden, x.device)  # From a checkpoint it is on the CPU.
        y_pred, hidden = model(x, hidden)
        loss = loss_fn(y_pred, y)
        updater.backward(loss)
        updater.step(engine)
        engine.state.hidden = map_tensors(Tensor.detach, hidden)
        return loss.detach()

    def train_step(engine: Engine, batch: Any) -> Tensor:
        state = engine.state
        x, y = prepare_batch(batch, device, non_blocking)
        length = _length(x, y, dim)
        if not carry_hidden or _begins_the_data(engine):
            state.hidden = None
        mean: Tensor | float = 0.0
        for part in zip(
            torch.split(x, tbptt_step, dim), torch.split(y, tbptt_step, dim), strict=True
        ):
            state.time_iteration += 1
            engine.fire_event(Tbptt_Events.TIME_ITERATION_STARTED)
            state.output = loss = train_window(engine, *part)
            mean = mean + loss * (part[0].shape[dim] / length)
            engine.fire_event(Tbptt_Events.TIME_ITERATION_COMPLETED)
        return mean  # type: ignore[return-value]  # There is at least one window.

    trainer = Engine(train_step)
    trainer.register_events(
        *Tbptt_Events, event_to_attr=dict.fromkeys(Tbptt_Events, "time_iteration")
    )
    trainer.state.hidden = None
    trainer.state_dict_user_keys += ["time_iteration", *(["hidden"] if carry_hidden else [])]
    trainer.add_event_handler(Events.STARTED, _count_from_the_start)
    return trainer


def _count_from_the_start(engine: Engine) -> None:
    if not engine.is_resuming:
        engine.state.time_iteration = 0


def _begins_the_data(engine: Engine) -> bool:
    """Say whether the batch at hand is the first of a pass over the data."""
    return engine.state.iteration == engine._stream.start + 1


def _length(x: Tensor, y: Tensor, dim: int) -> int:
    if x.shape[dim] != y.shape[dim] or x.shape[dim] == 0:
        raise ValueError(
            f"inputs and targets must be of one length, not {x.shape[dim]} and {y.shape[dim]} "
            f"time steps (in dimension {dim}), and have at least one"
        )
    return x.shape[dim]
