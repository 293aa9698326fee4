"""The ready-made engines: one supervised step, and one of evaluation."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from scaffold_runtime import (
    Accuracy,
    create_supervised_evaluator,
    create_supervised_trainer,
    prepare_batch,
    to_device,
)


def test_the_trainer_does_what_a_plain_loop_does() -> None:
    """After two epochs the weights are those of forward, loss, backward and update by hand."""
    batches = make_batches()
    ours, plain = make_model(), make_model()
    optimizer = torch.optim.SGD(ours.parameters(), lr=0.1, momentum=0.9)
    trainer = create_supervised_trainer(ours, optimizer, F.cross_entropy)
    trainer.run(batches, max_epochs=2)

    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9)
    plain.train()
    for x, y in batches * 2:
        optimizer.zero_grad()
        F.cross_entropy(plain(x), y).backward()
        optimizer.step()
    assert all(map(torch.equal, ours.parameters(), plain.parameters()))


def test_the_trainers_output_is_the_loss_without_its_graph() -> None:
    """A detached tensor, so keeping it keeps nothing else alive."""
    model = make_model()
    trainer = create_supervised_trainer(
        model, torch.optim.SGD(model.parameters(), lr=0.1), F.cross_entropy
    )
    output = trainer.run(make_batches()[:1]).output

    assert output.ndim == 0
    assert not output.requires_grad


def test_both_put_the_model_into_their_mode() -> None:
    """Training trains with dropout, evaluation evaluates without and without gradients."""
    model, modes = make_model(), []

    def spy(x: Any, y: Any, y_pred: Any, *loss: Any) -> None:
        modes.append((model.training, y_pred.requires_grad))

    trainer = create_supervised_trainer(
        model,
        torch.optim.SGD(model.parameters(), lr=0.1),
        F.cross_entropy,
        output_transform=spy,
    )
    evaluator = create_supervised_evaluator(model, output_transform=spy)
    for engine in (trainer, evaluator, trainer):
        engine.run(make_batches()[:1])

    assert modes == [(True, True), (False, False), (True, True)]


def test_evaluating_changes_nothing() -> None:
    """Weights and running statistics are as before."""
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    create_supervised_evaluator(model).run(make_batches())

    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_the_evaluator_shows_its_metrics() -> None:
    """Each under its name, over all batches."""
    evaluator = create_supervised_evaluator(nn.Identity(), {"accuracy": Accuracy()})
    scores, labels = torch.eye(3), torch.tensor([0, 1, 1])
    metrics = evaluator.run([(scores, labels), (scores[:1], labels[:1])]).metrics

    assert metrics == {"accuracy": 0.75}


def test_the_parts_of_a_step_can_be_replaced() -> None:
    """Batches, predictions and outputs of other forms are brought into form by functions."""

    def by_name(batch: Any, device: Any, non_blocking: bool) -> Any:
        return batch["image"], batch["label"]

    evaluator = create_supervised_evaluator(
        nn.Identity(),
        prepare_batch=by_name,
        model_transform=lambda output: output * 2,
        output_transform=lambda x, y, y_pred: (x, y, y_pred),
    )
    output = evaluator.run([{"image": torch.tensor(3.0), "label": 1}]).output

    assert output == (torch.tensor(3.0), 1, torch.tensor(6.0))


def test_training_learns() -> None:
    """The loss falls to nearly nothing on data that can be learned by heart."""
    model = make_model()
    trainer = create_supervised_trainer(
        model, torch.optim.Adam(model.parameters(), lr=0.05), F.cross_entropy
    )

    assert trainer.run(make_batches(), max_epochs=100).output < 0.05


def test_a_batch_is_moved_whatever_its_form() -> None:
    """Tensors in nested tuples, named tuples, lists and mappings move; the rest stays."""

    class Pair(NamedTuple):
        x: torch.Tensor
        y: str

    batch = {"a": [torch.zeros(2), (torch.ones(1), 3)], "b": Pair(torch.zeros(1), "label")}
    moved = to_device(batch, "meta")

    assert moved["a"][0].device.type == "meta"
    assert moved["a"][1][0].device.type == "meta"
    assert moved["a"][1][1] == 3
    assert isinstance(moved["b"], Pair)
    assert (moved["b"].x.device.type, moved["b"].y) == ("meta", "label")


def test_without_a_device_nothing_is_copied() -> None:
    """The very tensors of the batch reach the model."""
    x, y = torch.zeros(2), torch.ones(2)

    assert prepare_batch((x, y))[0] is x
    assert prepare_batch((x, y))[1] is y


def test_a_batch_that_is_no_pair_is_refused() -> None:
    """Inputs and targets must be told apart."""
    evaluator = create_supervised_evaluator(nn.Identity())

    with pytest.raises(ValueError, match="unpack"):
        evaluator.run([(torch.zeros(1), torch.zeros(1), torch.zeros(1))])


# --- Helpers --------------------------------------------------------------


def make_model() -> nn.Module:
    """Make the same small model each time."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))


def make_batches() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Make batches of samples that can be told apart, the last one smaller."""
    random = torch.Generator().manual_seed(0)
    return [
        (torch.randn(size, 4, generator=random), torch.randint(3, (size,), generator=random))
        for size in (8, 8, 3)
    ]
