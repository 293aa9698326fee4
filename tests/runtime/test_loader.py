"""Loading: the order of batches, going to a place in it, and what it costs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from states import plain
from torch import Tensor

from scaffold_runtime import Engine, InMemoryDataset, Loader, random_state

# --- Order ----------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    samples=st.integers(1, 30),
    batch_size=st.integers(1, 8),
    seed=st.integers(0, 5),
    epoch=st.integers(0, 5),
)
def test_every_sample_comes_once_in_an_epoch(
    samples: int, batch_size: int, seed: int, epoch: int
) -> None:
    """In full batches and one smaller for the rest, as many as the loader says."""
    batches = order(samples, batch_size, seed=seed, epoch=epoch)
    sizes = [len(batch) for batch in batches]

    assert sorted(itertools.chain(*batches)) == list(range(samples))
    assert all(size == batch_size for size in sizes[:-1])
    assert 0 < sizes[-1] <= batch_size
    assert len(sizes) == len(make_loader(samples, batch_size))


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    """The same for the same two, whatever was drawn before; another for each other pair."""
    orders = {}
    for seed, epoch in itertools.product(range(3), range(3)):
        torch.rand(seed + epoch)
        orders[seed, epoch] = order(20, 4, seed=seed, epoch=epoch)
        assert order(20, 4, seed=seed, epoch=epoch) == orders[seed, epoch]

    assert len({str(batches) for batches in orders.values()}) == 9


def test_the_order_stays_the_same_from_release_to_release() -> None:
    """A run that was begun with an older release goes on with the samples it has not seen."""
    assert order(6, 4, seed=1, epoch=2) == [[5, 3, 0, 1], [2, 4]]


def test_without_shuffling_the_order_is_the_datas() -> None:
    """In every epoch."""
    assert order(5, 2, shuffle=False, epoch=3) == [[0, 1], [2, 3], [4]]


def test_an_engine_shuffles_every_epoch_anew() -> None:
    """The engine tells the loader its epoch, and two runs have the same orders."""
    runs = []
    for _ in range(2):
        engine, batches = recording()
        engine.run(make_loader(12, 4), max_epochs=3)
        runs.append(batches)

    assert runs[0] == runs[1]
    epochs = [sorted(itertools.chain(*runs[0][start : start + 3])) for start in (0, 3, 6)]
    assert epochs == [list(range(12))] * 3
    assert runs[0][:3] != runs[0][3:6] != runs[0][6:]


def test_making_an_iterator_and_using_it_leaves_random_numbers_alone() -> None:
    """No generator of Python, NumPy or torch draws a number for the loader's sake."""
    before = random_state()
    list(make_loader(10, 3))
    next(iter(make_loader(10, 3)))
    after = random_state()

    assert plain(after) == plain(before)


# --- Places ---------------------------------------------------------------


@pytest.mark.parametrize("batch", range(5))
def test_seeking_begins_with_a_batch_without_loading_those_before(batch: int) -> None:
    """The rest of the epoch is as it would have been, and nothing else is asked for."""
    whole = order(18, 4, epoch=2)
    counting = Counting(18)
    loader = Loader(counting, batch_size=4, shuffle=True, seed=0)
    loader.seek(epoch=2, batch=batch)

    assert [numbers.tolist() for numbers in loader] == whole[batch:]
    assert counting.asked == whole[batch:]


def test_a_place_is_for_the_next_iteration_only() -> None:
    """The one after it begins at the beginning of the epoch."""
    loader = make_loader(10, 4)
    loader.seek(epoch=1, batch=2)

    assert [len(list(loader)), len(list(loader))] == [1, 3]


def test_an_iterator_keeps_the_place_it_was_made_for() -> None:
    """Another iterator, or another place sought before the first batch, does not move it."""
    loader = make_loader(10, 4)
    loader.seek(epoch=1, batch=1)
    earlier = iter(loader)
    loader.seek(epoch=0, batch=0)
    later = list(loader)

    assert [batch.tolist() for (batch,) in earlier] == order(10, 4, epoch=1)[1:]
    assert [batch.tolist() for (batch,) in later] == order(10, 4, epoch=0)


def test_a_resumed_run_loads_only_what_it_trains() -> None:
    """In the middle of the second epoch, a new engine asks for the remaining batches alone."""
    whole, batches = recording()
    whole.run(make_loader(10, 3), max_epochs=2)
    counting = Counting(10)
    resumed, rest = recording()
    resumed.load_state_dict({"iteration": 6, "epoch_length": 4, "max_epochs": 2})
    resumed.run(Loader(counting, batch_size=3, shuffle=True, seed=0))

    assert rest == batches[6:]
    assert counting.asked == rest


# --- Cost and ways --------------------------------------------------------


@pytest.mark.parametrize("columns", [1, 2])
def test_a_batch_of_tensors_is_one_indexing_of_each(columns: int) -> None:
    """Not one for each sample."""
    indexings: list[int] = []

    class Watched(Tensor):
        def __getitem__(self, index: Any) -> Any:
            indexings.append(len(index))
            return torch.Tensor.__getitem__(self.as_subclass(Tensor), index)

    tensors = [torch.arange(10.0).as_subclass(Watched) for _ in range(columns)]
    batches = list(Loader(InMemoryDataset(*tensors), batch_size=4))

    assert [len(batch[0]) for batch in batches] == [4, 4, 2]
    assert indexings == [4] * columns + [4] * columns + [2] * columns


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # On a machine with one core.
@pytest.mark.parametrize("in_memory", [True, False])
def test_workers_change_nothing_about_the_batches(in_memory: bool) -> None:
    """Two processes give the same batches in the same order as none, from any place."""
    data: Any = InMemoryDataset(torch.arange(10)) if in_memory else Squares()
    batches = []
    for workers in (0, 2):
        loader = Loader(data, batch_size=3, shuffle=True, seed=4, num_workers=workers)
        loader.seek(epoch=1, batch=1)
        batches.append(str(list(loader)))

    assert batches[0] == batches[1]


def test_any_dataset_does() -> None:
    """One with `__len__` and `__getitem__` is asked for samples, which become a batch."""
    x, y = next(iter(Loader(Squares(), batch_size=4)))

    assert x.tolist() == [0, 1, 2, 3]
    assert y.tolist() == [0, 1, 4, 9]


def test_a_collate_function_of_ones_own_makes_the_batches() -> None:
    """It gets the samples."""
    loader = Loader(Squares(), batch_size=3, collate_fn=len)

    assert list(loader) == [3, 3, 3, 1]


def test_a_transform_changes_the_inputs_of_a_batch() -> None:
    """The targets stay, and single samples are changed as well."""
    data = InMemoryDataset(torch.ones(3, 2), torch.arange(3), transform=lambda x: x * 2)
    x, y = next(iter(Loader(data, batch_size=2)))

    assert (x.tolist(), y.tolist()) == ([[2, 2], [2, 2]], [0, 1])
    assert data[2][0].tolist() == [2, 2]
    assert len(data) == 3


def test_tensors_of_different_lengths_are_refused() -> None:
    """Inputs without their targets are a mistake."""
    with pytest.raises(ValueError, match=r"tensors of different lengths: \[3, 2\]"):
        InMemoryDataset(torch.zeros(3), torch.zeros(2))


def test_a_batch_has_at_least_one_sample() -> None:
    """A size of zero is refused when the loader is made."""
    with pytest.raises(ValueError, match="batch_size must be at least 1, not 0"):
        make_loader(3, 0)


def test_an_empty_dataset_is_said_to_be_empty() -> None:
    """By the engine, which has nothing to run on."""
    with pytest.raises(ValueError, match="the data is empty"):
        recording()[0].run(make_loader(0, 2))


# --- Helpers --------------------------------------------------------------


class Counting:
    """Numbers, and a list of what was asked for."""

    def __init__(self, samples: int) -> None:
        self._samples = samples
        self.asked: list[list[int]] = []

    def __len__(self) -> int:
        return self._samples

    def __getitems__(self, indices: Sequence[int]) -> list[int]:
        self.asked.append(list(indices))
        return list(indices)


class Squares:
    """Ten numbers and their squares."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> tuple[int, int]:
        return index, index**2


def make_loader(samples: int, batch_size: int, shuffle: bool = True, seed: int = 0) -> Loader:
    """Make a loader over the first numbers."""
    data = InMemoryDataset(torch.arange(samples))
    return Loader(data, batch_size=batch_size, shuffle=shuffle, seed=seed)


def order(
    samples: int, batch_size: int, shuffle: bool = True, seed: int = 0, epoch: int = 0
) -> list[list[int]]:
    """Return the samples of each batch of an epoch."""
    loader = make_loader(samples, batch_size, shuffle, seed)
    loader.seek(epoch)
    return [batch.tolist() for (batch,) in loader]


def recording() -> tuple[Engine, list[list[int]]]:
    """Make an engine, and the list of the samples in each batch it has trained."""
    batches: list[list[int]] = []

    def step(engine: Engine, batch: Any) -> None:
        numbers = batch[0] if isinstance(batch, tuple) else batch
        batches.append(numbers.tolist())

    return Engine(step), batches
