"""Learning rates over a run."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler as schedulers

from scaffold_runtime import Checkpoint, Engine, Events, LRScheduler, create_supervised_trainer


def make_optimizer(lr: float = 1.0) -> torch.optim.Optimizer:
    return torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr)


def make_trainer(optimizer: torch.optim.Optimizer, used: list[float]) -> Engine:
    def train_step(engine: Engine, batch: Any) -> None:
        used.append(optimizer.param_groups[0]["lr"])
        optimizer.step()

    return Engine(train_step)


def used_rates(every: str | int, **options: Any) -> list[float]:
    """Return the rates of six iterations in two epochs, halved by the scheduler."""
    used: list[float] = []
    optimizer = make_optimizer()
    trainer = make_trainer(optimizer, used)
    scheduler = LRScheduler(schedulers.ExponentialLR(optimizer, gamma=0.5), **options)
    scheduler.attach(trainer, every=every)
    trainer.run([0, 0, 0], max_epochs=2)
    return used


def test_the_rate_changes_each_iteration() -> None:
    """The first iteration has the optimizer's rate, each later one the next."""
    assert used_rates("iteration") == [1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125]


def test_the_rate_changes_each_epoch() -> None:
    """All iterations of an epoch have the same rate."""
    assert used_rates("epoch") == [1.0, 1.0, 1.0, 0.5, 0.5, 0.5]


def test_the_rate_changes_every_few_iterations() -> None:
    """A number is an interval in iterations."""
    assert used_rates(2) == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]


def test_the_warm_up_rises_to_the_rate_and_hands_over() -> None:
    """The rate rises in a straight line, reaches the optimizer's once, and then falls."""
    rates = used_rates("iteration", warmup_start_value=0.2, warmup_duration=3)
    assert rates == pytest.approx([0.2, 0.6, 1.0, 0.5, 0.25, 0.125])


@pytest.mark.parametrize("event", [Events.ITERATION_STARTED, Events.ITERATION_COMPLETED])
def test_it_may_be_attached_before_or_after_an_iteration(event: Events) -> None:
    """As a handler of either event, the first iteration has the first rate."""
    used: list[float] = []
    optimizer = make_optimizer()
    trainer = make_trainer(optimizer, used)
    scheduler = LRScheduler(schedulers.ExponentialLR(optimizer, gamma=0.5))
    trainer.add_event_handler(event, scheduler)
    trainer.run([0, 0, 0])
    assert used == [1.0, 0.5, 0.25]


def test_a_plateau_lowers_the_rate() -> None:
    """By a metric: the rate falls when the evaluator's loss has stopped falling."""
    optimizer = make_optimizer()
    plateau = schedulers.ReduceLROnPlateau(optimizer, factor=0.1, patience=0)
    evaluator = Engine(lambda engine, batch: None)
    losses = iter([3.0, 2.0, 2.0, 1.0])

    @evaluator.on(Events.EPOCH_COMPLETED)
    def measure() -> None:
        evaluator.state.metrics["loss"] = torch.tensor(next(losses))

    scheduler = LRScheduler(plateau, metric="loss")
    scheduler.attach(evaluator, every="epoch")
    rates = []
    for _ in range(4):
        evaluator.run([0])
        rates += scheduler.lr
    assert rates == pytest.approx([1.0, 1.0, 0.1, 0.1])


@pytest.mark.parametrize("cut", [1, 2, 3, 5])
def test_a_run_that_goes_on_has_the_rates_of_the_unbroken_one(cut: int) -> None:
    """Scheduler, optimizer and trainer loaded together go on at the next rate."""

    def parts(used: list[float]) -> tuple[Engine, dict[str, Any]]:
        optimizer = make_optimizer()
        trainer = make_trainer(optimizer, used)
        scheduler = LRScheduler(schedulers.StepLR(optimizer, 2), warmup_duration=3)
        scheduler.attach(trainer)
        return trainer, {"trainer": trainer, "optimizer": optimizer, "scheduler": scheduler}

    unbroken: list[float] = []
    parts(unbroken)[0].run([0] * 8)

    used: list[float] = []
    trainer, before = parts(used)
    trainer.add_event_handler(Events.ITERATION_COMPLETED(once=cut), trainer.terminate)
    trainer.run([0] * 8)
    states = {name: part.state_dict() for name, part in before.items()}
    trainer, after = parts(used)
    for name, part in after.items():
        part.load_state_dict(states[name])
    trainer.run([0] * 8)
    assert used == unbroken


def test_accumulated_gradients_bring_no_warning() -> None:
    """Steps before the first update are no mistake when gradients are accumulated."""
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    trainer = create_supervised_trainer(
        model, optimizer, nn.functional.mse_loss, gradient_accumulation_steps=3
    )
    scheduler = LRScheduler(schedulers.StepLR(optimizer, 2))
    scheduler.attach(trainer)
    trainer.run([(torch.ones(1, 1), torch.ones(1, 1))] * 4)
    assert scheduler.lr == pytest.approx([0.01])


def test_it_can_be_a_part_of_a_checkpoint(tmp_path: Any) -> None:
    """Its state holds plain values only, which a checkpoint reads back."""
    scheduler = LRScheduler(schedulers.StepLR(make_optimizer(), 2))
    checkpoint = Checkpoint(tmp_path, {"scheduler": scheduler})
    checkpoint.save()
    assert checkpoint.restore().exists()


def test_a_metric_is_for_the_plateau_and_for_it_alone() -> None:
    """What does not go together is refused at once."""
    with pytest.raises(ValueError, match="ReduceLROnPlateau"):
        LRScheduler(schedulers.ReduceLROnPlateau(make_optimizer()))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="ReduceLROnPlateau"):
        LRScheduler(schedulers.StepLR(make_optimizer(), 1), metric="loss")
