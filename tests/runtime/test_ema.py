"""The average of the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from scaffold_runtime import EMA, Checkpoint, Engine, Events


def make_model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))


def make_trainer(model: nn.Module) -> Engine:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def train_step(engine: Engine, batch: Tensor) -> None:
        optimizer.zero_grad()
        model(batch).square().sum().backward()
        optimizer.step()

    return Engine(train_step)


def batches(count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(4, 2, generator=generator) for _ in range(count)]


def copy_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: each.detach().clone() for name, each in model.state_dict().items()}


def test_weights_and_floating_buffers_are_averaged_and_counters_copied() -> None:
    """Parameters and running statistics follow the formula; the count of batches is the newest."""
    model = make_model()
    expected, trainer, ema = copy_of(model), make_trainer(model), EMA(model, momentum=0.25)

    def average() -> None:
        for name, value in model.state_dict().items():
            old = expected[name]
            expected[name] = 0.75 * old + 0.25 * value if value.is_floating_point() else value

    ema.attach(trainer)
    trainer.add_event_handler(Events.ITERATION_COMPLETED, average)
    trainer.run(batches(5))
    averaged = ema.ema_model.state_dict()
    assert averaged["1.num_batches_tracked"] == 5
    torch.testing.assert_close(averaged, expected)


def test_the_model_has_the_average_inside_the_block_only() -> None:
    """Inside the block the model is the average; after it, also after an error, as before."""
    model = make_model()
    trainer, ema = make_trainer(model), EMA(model, momentum=0.25)
    ema.attach(trainer)
    trainer.run(batches(3))
    newest, average = copy_of(model), copy_of(ema.ema_model)
    inside: list[dict[str, Tensor]] = []

    def evaluate() -> None:
        with ema.averaged():
            inside.append(copy_of(model))
            raise KeyError

    with pytest.raises(KeyError):
        evaluate()
    torch.testing.assert_close(inside, [average], rtol=0, atol=0)
    torch.testing.assert_close(copy_of(model), newest, rtol=0, atol=0)
    torch.testing.assert_close(copy_of(ema.ema_model), average, rtol=0, atol=0)


def test_the_warm_up_changes_the_momentum_evenly() -> None:
    """The momentum goes from its first to its last value in the updates of the warm-up."""
    ema = EMA(nn.Linear(1, 1), momentum=0.2, momentum_warmup=0.8, warmup_iters=3)
    momenta = []
    for _ in range(5):
        momenta.append(ema.momentum)
        ema.update()
    assert momenta == pytest.approx([0.8, 0.6, 0.4, 0.2, 0.2])


def test_a_run_that_goes_on_averages_like_the_unbroken_one(tmp_path: Path) -> None:
    """Through a checkpoint in the warm-up, the average comes out the same to the last bit."""

    def parts() -> tuple[Engine, dict[str, Any], EMA]:
        model = make_model()
        trainer = make_trainer(model)
        ema = EMA(model, momentum=0.1, momentum_warmup=0.9, warmup_iters=4)
        ema.attach(trainer)
        return trainer, {"trainer": trainer, "model": model, "ema": ema}, ema

    data = batches(6)
    trainer, _, unbroken = parts()
    trainer.run(data)

    trainer, saved, _ = parts()
    trainer.run(data, max_iters=3)
    Checkpoint(tmp_path, saved).save()
    trainer, loaded, resumed = parts()
    Checkpoint(tmp_path, loaded).restore()
    trainer.run(data, max_iters=6)
    torch.testing.assert_close(
        copy_of(resumed.ema_model), copy_of(unbroken.ema_model), rtol=0, atol=0
    )


def test_tied_weights_are_averaged_once() -> None:
    """A parameter that two layers share is updated once, and stays shared in the average."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    ema = EMA(model, momentum=0.5)
    with torch.no_grad():
        model[0].weight.fill_(1.0)
        ema.ema_model[0].weight.fill_(0.0)  # type: ignore[index, union-attr, operator]
    ema.update()
    assert (ema.ema_model.state_dict()["1.weight"] == 0.5).all()


@pytest.mark.parametrize(
    "options", [{"momentum": 0.0}, {"momentum_warmup": 0.5}, {"momentum_warmup": 2.0}]
)
def test_momenta_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    """A momentum lies between 0 and 1, and a warm-up is given whole."""
    with pytest.raises(ValueError, match="momentum"):
        EMA(nn.Linear(1, 1), **options)
