"""Which samples in which order: weights, samplers, what is left out, and what is refused."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from states import plain
from torch.utils.data import (
    DistributedSampler,
    RandomSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from scaffold_runtime import InMemoryDataset, Loader, random_state
from scaffold_runtime.data.order import Shuffled, Weighted, _Draws

SAMPLES = 11


class Drawing:
    """A sampler of a user's, from the global generators of Python."""

    def __iter__(self) -> Iterator[int]:
        return (random.randrange(SAMPLES) for _ in range(SAMPLES))


class Epochs:
    """A sampler of a user's, which is told its epoch and does not know its length."""

    def __init__(self) -> None:
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        return iter([self.epoch, 7, 8, 9, 10])


def own() -> torch.Generator:
    return torch.Generator().manual_seed(5)


WEIGHTS = [1.0] * 10 + [0.0]
CHOICES = {
    "shuffle": lambda: {"shuffle": True},
    "weights": lambda: {"weights": WEIGHTS},
    "list": lambda: {"sampler": [3, 1, 4, 1, 5, 9, 2, 6]},
    "random": lambda: {"sampler": RandomSampler(range(SAMPLES))},
    "random, a generator of its own": lambda: {
        "sampler": RandomSampler(range(SAMPLES), generator=own())
    },
    "with replacement": lambda: {
        "sampler": RandomSampler(range(SAMPLES), replacement=True, num_samples=8)
    },
    "subset": lambda: {"sampler": SubsetRandomSampler([1, 3, 5, 7, 9], generator=own())},
    "weighted": lambda: {"sampler": WeightedRandomSampler(WEIGHTS, 9)},
    "distributed": lambda: {"sampler": DistributedSampler(range(SAMPLES), 2, 0)},
    "python": lambda: {"sampler": Drawing()},
    "epochs": lambda: {"sampler": Epochs()},
}


@pytest.mark.parametrize("choice", CHOICES.values(), ids=CHOICES)
@pytest.mark.parametrize("drop_last", [False, True])
def test_every_order_is_a_function_of_seed_and_epoch(choice: Any, drop_last: bool) -> None:
    """From any place, after whatever was drawn, with new objects or the same."""
    options = {"drop_last": drop_last, "seed": 2}
    loader = Loader(numbers(), 3, **choice(), **options)
    whole = [batches(loader) for _ in range(3)]
    torch.rand(7), random.random()
    for again in (loader, Loader(numbers(), 3, **choice(), **options)):
        for epoch in (2, 0, 1):
            for batch in range(4):
                again.seek(epoch, batch)
                assert batches(again) == whole[epoch][batch:]
    if drop_last:
        assert all(len(batch) == 3 for epoch in whole for batch in epoch)


@pytest.mark.parametrize("choice", CHOICES.values(), ids=CHOICES)
def test_no_order_takes_random_numbers_from_the_training_process(choice: Any) -> None:
    """Neither from the global generators, nor from one that a sampler was given."""
    options = choice()
    generator = getattr(options.get("sampler"), "generator", None)
    own_before = generator.get_state() if generator else torch.empty(0)
    before = random_state()
    batches(Loader(numbers(), 3, **options))
    after = random_state()

    assert plain(after) == plain(before)
    assert torch.equal(generator.get_state() if generator else torch.empty(0), own_before)


def test_epochs_differ_where_an_order_is_random() -> None:
    """A sampler whose generator is always seeded alike would repeat its first epoch."""
    for name, choice in CHOICES.items():
        loader = Loader(numbers(), 3, **choice())
        first, second = batches(loader), batches(loader)
        assert (first != second) == (name != "list"), name


def test_a_sampler_decides_how_many_batches_there_are() -> None:
    """Where it knows; else the loader does not know either."""
    assert len(Loader(numbers(), 3, sampler=range(7))) == 3
    with pytest.raises(TypeError, match="no len"):
        len(Loader(numbers(), 3, sampler=Epochs()))


def test_weights_say_how_often_a_sample_comes() -> None:
    """In proportion, never with a weight of 0, and as many in an epoch as there are samples."""
    weights = torch.tensor([0.0, 1.0, 0.0, 3.0, 0.0]).repeat(4000)
    drawn = [
        number
        for batch in batches(Loader(numbers(20_000), 64, weights=weights))
        for number in batch
    ]
    counts = Counter(number % 5 for number in drawn)

    assert len(drawn) == 20_000
    assert counts.keys() == {1, 3}
    assert counts[3] / counts[1] == pytest.approx(3, rel=0.1)


def test_more_samples_are_weighted_than_torch_can_draw_from() -> None:
    """Beyond 2**24, where torch.multinomial refuses; the last ones come as well."""
    samples = 2**24 + 1000
    weights = torch.zeros(samples, dtype=torch.uint8)
    weights[-2:] = 1
    order = Weighted(weights, samples, seed=0).of_epoch(0)

    assert set(order[samples - 500 : samples].tolist()) == {samples - 2, samples - 1}


def test_draws_do_not_depend_on_how_they_are_asked_for() -> None:
    """Batches that lie in two blocks of draws are those of one long slice."""
    order = Weighted(torch.ones(50_000), 50_000, seed=4).of_epoch(1)
    whole = order[0:50_000].tolist()

    assert len(whole) == 50_000
    for start in (0, _Draws.BLOCK - 10, 3 * _Draws.BLOCK - 1, 49_990):
        assert order[start : start + 64].tolist() == whole[start : start + 64]


def test_the_order_of_an_epoch_takes_half_the_memory() -> None:
    """Four bytes a sample; and it is the permutation that torch makes of eight-byte numbers."""
    for samples in (1, 1000, 100_000):
        order = Shuffled(samples, seed=1).of_epoch(0)
        assert order.dtype == torch.int32
        assert sorted(order.tolist()) == list(range(samples))
    generator = torch.Generator
    same = [
        torch.randperm(100_000, generator=generator().manual_seed(3), dtype=dtype).long()
        for dtype in (torch.int32, torch.int64)
    ]
    assert torch.equal(*same)


def test_the_last_batch_may_be_left_out() -> None:
    """Then all batches are full, and the length says so."""
    loader = Loader(numbers(), 4, drop_last=True)

    assert batches(loader) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert len(loader) == 2
    loader.load_state_dict({"epoch": 0, "position": 5})
    assert batches(loader) == [[5, 6, 7, 8]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shuffle": True, "weights": WEIGHTS}, "give only one of shuffle and weights"),
        ({"shuffle": True, "sampler": [0]}, "give only one of shuffle and sampler"),
        ({"sampler": [0], "weights": WEIGHTS}, "give only one of sampler and weights"),
        ({"weights": [1.0, 2.0]}, "one weight for each of the 11 samples, not 2"),
        ({"weights": torch.ones(11, 1)}, "for each of the 11 samples, not 11x1"),
        ({"weights": [-1.0] + [1.0] * 10}, "weights must be finite and at least 0"),
        ({"weights": [0.0] * 11}, "not all of them 0"),
        ({"weights": [float("nan")] * 11}, "weights must be finite"),
        ({"sampler": iter([1, 2])}, "sampler can be gone through only once"),
        ({"seed_each": "epoch"}, "seed_each is 'batch' or 'sample', not 'epoch'"),
        ({"persistent_workers": True}, "num_workers > 0"),
        ({"prefetch_factor": 2}, "num_workers > 0"),
    ],
)
def test_arguments_that_contradict_each_other_are_refused(
    options: dict[str, Any], message: str
) -> None:
    """When the loader is made, in one line."""
    with pytest.raises(ValueError, match=message) as caught:
        Loader(numbers(), 3, **options)
    assert "\n" not in str(caught.value)


def test_a_sampler_of_batches_is_refused() -> None:
    """The loader makes the batches; a sampler gives single indices."""
    with pytest.raises(ValueError, match=r"whole batches, first \[0, 1\]"):
        batches(Loader(numbers(), 3, sampler=[[0, 1], [2, 3]]))


# --- Helpers --------------------------------------------------------------


def numbers(samples: int = SAMPLES) -> InMemoryDataset:
    return InMemoryDataset(torch.arange(samples))


def batches(loader: Loader) -> list[list[int]]:
    return [batch.tolist() for (batch,) in loader]
