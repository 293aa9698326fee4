"""The learning rate range test."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scaffold_runtime import Engine, Events, LRFinder, create_supervised_trainer


def make(**options: Any) -> tuple[Engine, nn.Module, torch.optim.Optimizer, list[Any]]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.Dropout(0.1), nn.Linear(16, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    trainer = create_supervised_trainer(model, optimizer, F.mse_loss, **options)
    x = torch.randn(64, 4)
    return trainer, model, optimizer, [(part, part.sum(1, keepdim=True)) for part in x.split(16)]


def flat(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [each for part in value.values() for each in flat(part)]
    if isinstance(value, list | tuple):
        return [each for part in value for each in flat(part)]
    return [value.tolist() if isinstance(value, Tensor) else value]


def test_the_rate_rises_until_the_loss_diverges() -> None:
    """Rates rise by a constant factor, the suggestion is among them, and 1000 is never reached."""
    trainer, model, optimizer, data = make()
    finder = LRFinder(end_lr=1000.0)
    finder.run(trainer, data, optimizer, {"model": model})
    lrs = finder.get_results()["lr"]
    assert lrs[0] == pytest.approx(1e-7)
    assert lrs[2] / lrs[1] == pytest.approx(lrs[1] / lrs[0])
    assert lrs[-1] < 900
    assert 1e-4 < finder.lr_suggestion() < 1


@pytest.mark.parametrize("steps", [1, 3])
def test_everything_is_as_it_was_before(steps: int) -> None:
    """Weights, optimizer, accumulation and random numbers go on as if there was no test."""

    def train(test: bool) -> list[Any]:
        trainer, model, optimizer, data = make(gradient_accumulation_steps=steps)
        trainer.run(data, max_epochs=1)
        if test:
            LRFinder(num_iter=20, end_lr=1e-3).run(trainer, data, optimizer, {"model": model})
        trainer.run(data, max_epochs=2)
        return flat(
            [model.state_dict(), optimizer.state_dict(), trainer.state_dict(), random.random()]
        )

    random.seed(0)
    expected = train(test=False)
    random.seed(0)
    assert train(test=True) == expected


def test_handlers_of_the_trainer_are_left_alone() -> None:
    """The test logs nothing, saves nothing and does not move the trainer's state."""
    trainer, model, optimizer, data = make()
    called = []
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: called.append(1))
    LRFinder(num_iter=10).run(trainer, data, optimizer, {"model": model})
    assert not called
    assert trainer.state.iteration == 0


def test_what_was_changed_is_put_back_when_the_step_fails() -> None:
    """An error reaches the caller; learning rate and place in the window are the old ones."""
    trainer, model, optimizer, data = make(gradient_accumulation_steps=3)
    with pytest.raises(RuntimeError):
        LRFinder().run(trainer, [data[0], (torch.ones(1), data[0][1])], optimizer, {"model": model})
    assert optimizer.param_groups[0]["lr"] == 0.05
    assert trainer.state.updater.state_dict()["batches"] == 0


def test_the_plot_is_a_figure_with_the_suggestion(tmp_path: Path) -> None:
    """It can be saved as a picture."""
    trainer, model, optimizer, data = make()
    finder = LRFinder()
    finder.run(trainer, data, optimizer, {"model": model})
    figure = finder.plot()
    figure.savefig(tmp_path / "lr.png")
    (label,) = figure.axes[0].get_legend().get_texts()
    assert label.get_text() == f"suggested: {finder.lr_suggestion():.2g}"


def test_without_a_falling_loss_nothing_is_suggested() -> None:
    """A constant loss says nothing about the rate."""
    trainer = Engine(lambda engine, batch: 1.0)
    _, model, optimizer, data = make()
    finder = LRFinder(num_iter=10)
    finder.run(trainer, data, optimizer, {"model": model})
    with pytest.raises(RuntimeError, match="has not fallen"):
        finder.lr_suggestion()
    assert finder.plot().axes[0].get_legend() is None
