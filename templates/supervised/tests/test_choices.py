"""What the settings choose is what they say."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

import choices
import train
from data import Data, make_data
from scaffold_runtime import ImageSet

CPU = torch.device("cpu")


@pytest.fixture
def rare():
    """Data of two classes, of which the second has a quarter of the samples."""
    labels = torch.tensor([0] * 15 + [1] * 5)
    images = ImageSet(torch.zeros(20, 1, 8, 8), labels, ["a", "b"], {"train": torch.arange(20)})
    return Data(None, None, None, images)


@pytest.fixture
def weight():
    """One weight, whose gradient a test sets."""
    return torch.nn.Linear(1, 1, bias=False)


def test_label_smoothing_spreads_its_share_over_all_classes(rare):
    """Of the target 0.8 + 0.1 is for the right class and 0.1 for the other."""
    criterion = choices.make_criterion(train.Settings(label_smoothing=0.2), rare)
    scores = torch.tensor([[2.0, -1.0]])
    right, wrong = scores.log_softmax(dim=1)[0]

    loss = criterion(scores, torch.tensor([0]))

    assert loss.item() == pytest.approx(-(0.9 * right + 0.1 * wrong).item())


@pytest.mark.parametrize(("class_weights", "share"), [(False, 0.5), (True, 0.75)])
def test_class_weights_let_rare_classes_count_as_much(rare, class_weights, share):
    """Of one mistake in each class, that in the class a third as frequent counts three times."""
    criterion = choices.make_criterion(train.Settings(class_weights=class_weights), rare)
    scores, labels = torch.tensor([[20.0, 0.0], [20.0, 0.0]]), torch.tensor([0, 1])

    assert criterion(scores, labels).item() == pytest.approx(20 * share)


def test_each_sample_validates_in_one_fold_and_none_that_tests():
    """The folds are disjoint and cover what does not test, which stays as it is without folds."""
    whole = make_data(train.Settings()).samples.splits
    pool = set(whole["train"].tolist()) | set(whole["valid"].tolist())
    seen = []
    for fold in range(5):
        data = make_data(train.Settings(folds=5, fold=fold))
        splits = {name: indices.tolist() for name, indices in data.samples.splits.items()}
        assert splits["test"] == whole["test"].tolist()
        assert sorted(splits["train"] + splits["valid"]) == sorted(pool)
        assert len(data.valid.dataset) == len(splits["valid"])
        seen += splits["valid"]

    assert sorted(seen) == sorted(pool)


def test_a_table_is_standardised_by_what_trains_in_its_fold():
    """In every fold the columns of the training split have the mean 0 and the deviation 1."""
    values = torch.randn(50, 2, generator=torch.Generator().manual_seed(0)) * 5 + 3
    with Path("rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["a", "b"], *values.tolist()])
    table = {"dataset": "csv", "path": "rows.csv", "target": "b", "task": "regression"}
    for fold in range(3):
        data = make_data(train.Settings(**table, model="linear", folds=3, fold=fold))
        for part in data.train.dataset.tensors:
            assert part.mean().item() == pytest.approx(0, abs=1e-6)
            assert part.std(unbiased=False).item() == pytest.approx(1)


def test_a_fold_trains():
    """A run of a fold goes through."""
    reached = train.main(train.Settings(fast_dev_run=True, folds=5, fold=4))

    assert reached.keys() >= {"loss", "accuracy"}


@pytest.mark.parametrize(("clip_norm", "moved"), [(0.0, 3.0), (0.5, 0.5)])
def test_gradients_are_clipped_to_their_norm(weight, clip_norm, moved):
    """A gradient of 3 moves a weight by as much as `--clip-norm` lets it."""
    optimizer = torch.optim.SGD(weight.parameters(), lr=1.0)
    updater, _ = choices.make_updater(train.Settings(clip_norm=clip_norm), optimizer, CPU)
    before = weight.weight.item()

    updater.backward(3 * weight.weight.sum())
    updater.step()

    assert before - weight.weight.item() == pytest.approx(moved)


def test_batches_are_accumulated(weight):
    """With `--accumulate 3` the third batch makes the update, of the mean of the gradients."""
    optimizer = torch.optim.SGD(weight.parameters(), lr=1.0)
    updater, _ = choices.make_updater(train.Settings(accumulate=3), optimizer, CPU)
    before = weight.weight.item()

    updated = []
    for gradient in (1, 2, 6):
        updater.backward(gradient * weight.weight.sum())
        updated.append(updater.step())

    assert updated == [False, False, True]
    assert before - weight.weight.item() == pytest.approx(3)


@pytest.mark.parametrize(("momentum", "steps"), [(0.0, [1, 1, 1]), (0.5, [1, 1.5, 1.75])])
def test_sgd_takes_a_share_of_its_last_step_again(weight, momentum, steps):
    """With an even slope of 1 the steps grow by the momentum, from one to the next."""
    settings = train.Settings(optimizer="sgd", momentum=momentum, lr=1.0, weight_decay=0.0)
    optimizer = choices.make_optimizer(settings, weight)

    taken = []
    for _ in range(3):
        before = weight.weight.item()
        weight.weight.grad = torch.ones(1, 1)
        optimizer.step()
        taken.append(before - weight.weight.item())

    assert taken == pytest.approx(steps)


@pytest.mark.parametrize(("warm_up", "peak"), [(0.0, 0), (0.5, 10)])
def test_the_learning_rate_rises_in_the_warm_up(weight, warm_up, peak):
    """It is at its peak after this share of the 20 updates, rises before and falls from there."""
    settings = train.Settings(max_epochs=2, warm_up=warm_up, lr=2.0)
    optimizer = choices.make_optimizer(settings, weight)
    scheduler = choices.make_scheduler(settings, optimizer, iterations=20)
    optimizer.step()  # Or torch would warn.

    rates = [scheduler.get_last_lr()[0]]
    for _ in range(20):
        scheduler.step()
        rates.append(scheduler.get_last_lr()[0])

    assert rates[peak] == max(rates) == 2.0
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] == 0
