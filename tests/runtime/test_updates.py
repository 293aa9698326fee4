"""Updates of the weights: accumulated, clipped, scaled, in mixed precision."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from scaffold_runtime import (
    EMA,
    Engine,
    Events,
    LRScheduler,
    Updater,
    create_supervised_evaluator,
    create_supervised_trainer,
)

Batch = tuple[torch.Tensor, torch.Tensor]


def batches(count: int) -> list[Batch]:
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.randn(4, 3, generator=generator), torch.randn(4, 2, generator=generator))
        for _ in range(count)
    ]


def make(**options: Any) -> tuple[nn.Linear, Engine]:
    torch.manual_seed(1)
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return model, create_supervised_trainer(model, optimizer, F.mse_loss, **options)


def by_hand(windows: list[list[Batch]]) -> torch.Tensor:
    """Return the weights after one update with the mean gradient of each window."""
    torch.manual_seed(1)
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for window in windows:
        optimizer.zero_grad()
        torch.stack([F.mse_loss(model(x), y) for x, y in window]).mean().backward()
        optimizer.step()
    return model.weight.detach()


@pytest.mark.parametrize("known", [True, False], ids=["known length", "unknown length"])
def test_the_last_partial_window_of_an_epoch_is_applied(known: bool) -> None:
    """Five batches in windows of two make three updates, each by the mean of its window."""
    model, trainer = make(gradient_accumulation_steps=2)
    data = batches(5)
    trainer.run(data if known else iter(data))
    expected = by_hand([data[:2], data[2:4], data[4:]])
    torch.testing.assert_close(model.weight.detach(), expected)


def test_a_window_does_not_reach_over_the_end_of_an_epoch() -> None:
    """The second epoch begins a window of its own."""
    model, trainer = make(gradient_accumulation_steps=2)
    data = batches(3)
    trainer.run(data, max_epochs=2)
    expected = by_hand([data[:2], data[2:]] * 2)
    torch.testing.assert_close(model.weight.detach(), expected)


def test_an_epoch_ended_early_applies_its_partial_window() -> None:
    """`terminate_epoch` in the middle of a window loses no batch."""
    model, trainer = make(gradient_accumulation_steps=2)
    trainer.add_event_handler(
        Events.ITERATION_COMPLETED(once=3), lambda engine: engine.terminate_epoch()
    )
    data = batches(6)
    trainer.run(data)
    torch.testing.assert_close(model.weight.detach(), by_hand([data[:2], data[2:3]]))


def test_a_run_limited_by_iterations_applies_its_last_window() -> None:
    """`max_iters` in the middle of a window loses no batch."""
    model, trainer = make(gradient_accumulation_steps=2)
    data = batches(6)
    trainer.run(data, max_iters=3)
    torch.testing.assert_close(model.weight.detach(), by_hand([data[:2], data[2:3]]))


def test_weights_are_as_updated_when_handlers_of_the_last_iteration_run() -> None:
    """A handler of the epoch's last iteration sees the weights with its partial window applied."""
    model, trainer = make(gradient_accumulation_steps=2)
    seen = []

    @trainer.on(Events.ITERATION_COMPLETED(every=3))
    def look() -> None:
        seen.append(model.weight.detach().clone())

    trainer.run(batches(3))
    assert torch.equal(seen[0], model.weight.detach())


def test_the_norm_is_clipped_and_shown_as_it_was() -> None:
    """The norm before clipping is a tensor among the metrics; what is applied is no larger."""
    model, trainer = make(gradient_clip_val=1e-3)
    state = trainer.run(batches(1))
    norm = state.metrics["gradient_norm"]
    assert isinstance(norm, torch.Tensor)
    assert norm > 1e-3
    applied = nn.utils.get_total_norm(
        [each.grad for each in model.parameters() if each.grad is not None]
    )
    torch.testing.assert_close(applied, torch.tensor(1e-3))


def test_values_are_clipped() -> None:
    """With the algorithm "value" no element of a gradient is larger than the limit."""
    model, trainer = make(gradient_clip_val=1e-3, gradient_clip_algorithm="value")
    trainer.run(batches(1))
    assert model.weight.grad is not None
    assert model.weight.grad.abs().max() == 1e-3


def test_the_accumulated_gradient_is_clipped_once() -> None:
    """Clipping sees the mean gradient of a whole window, not that of each batch."""
    _, trainer = make(gradient_accumulation_steps=2, gradient_clip_val=1e-3)
    shown = []

    @trainer.on(Events.ITERATION_COMPLETED)
    def look() -> None:
        shown.append("gradient_norm" in trainer.state.metrics)

    trainer.run(batches(2))
    assert shown == [False, True]


def test_mixed_precision_computes_in_the_smaller_type() -> None:
    """With bfloat16 the predictions are bfloat16, the weights and their gradients float32."""
    kinds = []
    model, trainer = make(
        amp_mode="amp",
        amp_dtype=torch.bfloat16,
        output_transform=lambda x, y, y_pred, loss: kinds.append(y_pred.dtype),
    )
    trainer.run(batches(2))
    assert kinds == [torch.bfloat16] * 2
    assert model.weight.grad is not None
    assert model.weight.grad.dtype == torch.float32
    evaluator = create_supervised_evaluator(model, amp_mode="amp", amp_dtype=torch.bfloat16)
    assert evaluator.run(batches(1)).output[0].dtype == torch.bfloat16


def test_a_scaler_skips_an_update_that_overflows() -> None:
    """An overflow leaves the weights alone and lowers the scale; later updates are applied."""
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    model, trainer = make(amp_mode="amp", amp_dtype=torch.float16, scaler=scaler)
    before = model.weight.detach().clone()
    x, y = batches(1)[0]
    trainer.run([(x, y * torch.inf)])
    assert torch.equal(model.weight, before)
    assert scaler.get_scale() == 2.0**9
    trainer.run([(x, y)], max_epochs=2)
    assert not torch.equal(model.weight, before)


def test_a_skipped_update_is_none() -> None:
    """What follows the updates, a schedule or an average, is not told of one that overflowed."""
    weight = nn.Parameter(torch.zeros(1))
    updater = Updater(torch.optim.SGD([weight], lr=1.0), scaler=torch.amp.GradScaler("cpu"))
    updater.backward(weight.sum() * torch.inf)
    assert not updater.step()
    updater.backward(weight.sum())
    assert updater.step()


def test_scaling_does_not_change_what_is_accumulated_and_clipped() -> None:
    """The norm, also of a partial window, is that of the unscaled mean gradient."""
    data = batches(3)
    norms = []
    for scaler in (False, True):
        _, trainer = make(
            amp_mode="amp",
            amp_dtype=torch.bfloat16,
            scaler=scaler,
            gradient_accumulation_steps=2,
            gradient_clip_val=0.1,
        )
        norms.append(trainer.run(data).metrics["gradient_norm"])
    torch.testing.assert_close(norms[0], norms[1], rtol=1e-2, atol=0.0)


def test_the_scale_is_saved_and_loaded() -> None:
    """A new updater goes on with the scale of the one whose state it loads."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    old = Updater(optimizer, scaler=torch.amp.GradScaler("cpu", init_scale=8.0))
    assert old.scaler is not None
    old.scaler.scale(torch.ones(1))
    new = Updater(optimizer, scaler=torch.amp.GradScaler("cpu"))
    new.load_state_dict(old.state_dict())
    assert new.scaler is not None
    assert new.scaler.get_scale() == 8.0


def test_a_step_of_ones_own_may_have_several_losses() -> None:
    """Two losses of a batch are one update with the sum of their gradients."""
    weight = nn.Parameter(torch.zeros(1))
    updater = Updater(torch.optim.SGD([weight], lr=1.0))
    for _ in range(2):
        updater.backward(weight.sum())
        updater.backward(2 * weight.sum())
        assert updater.step()
    assert weight.item() == -6.0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
def test_a_compiled_model_trains_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """`compile` gives the weights that the model has without it, under the same names."""
    # Capturing the model without generating code for it saves ten seconds.
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    plain, trainer = make()
    trainer.run(batches(2))
    compiled, trainer = make(compile=True)
    trainer.run(batches(2))
    assert compiled.state_dict().keys() == plain.state_dict().keys()
    torch.testing.assert_close(compiled.weight, plain.weight)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gradient_accumulation_steps": 0}, "at least 1, not 0"),
        ({"gradient_clip_val": -1.0}, "must be positive, not -1.0"),
        ({"gradient_clip_val": 1.0, "gradient_clip_algorithm": "max"}, "'norm' or 'value'"),
        ({"amp_mode": "apex"}, "'amp' or None"),
        ({"scaler": True}, "amp_mode='amp'"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    """What an option may be is said when it is something else."""
    with pytest.raises(ValueError, match=message):
        make(**options)


class Reads(TorchDispatchMode):
    """Counts the operations that wait for a device to read a tensor's value."""

    count = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        aten = torch.ops.aten
        self.count += function in (aten._local_scalar_dense.default, aten.equal.default)
        return function(*args, **(kwargs or {}))


def test_no_value_is_read_while_training() -> None:
    """Accumulation, clipping, the average of weights and the schedule never wait for the device."""
    model, trainer = make(gradient_accumulation_steps=2, gradient_clip_val=1.0)
    EMA(model).attach(trainer)
    schedule = torch.optim.lr_scheduler.StepLR(trainer.state.updater.optimizer, 2)
    LRScheduler(schedule, warmup_duration=3).attach(trainer)
    with Reads() as reads:
        trainer.run(batches(9), max_epochs=2)
    assert reads.count == 0
    with reads:
        trainer.state.metrics["gradient_norm"].item()
    assert reads.count == 1
