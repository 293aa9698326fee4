"""The same batches, random augmentation included, whoever builds them and wherever it was cut."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from states import plain
from torch import Tensor, nn

from scaffold_runtime import Engine, InMemoryDataset, Loader, random_state, seed_everything

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # On few cores.

SAMPLES, BATCH = 18, 4
BATCHES = 5
WAYS = [
    {},
    {"num_workers": 2},
    {"num_workers": 2, "prefetch_factor": 1, "persistent_workers": True},
    {"num_workers": 4, "prefetch_factor": 5},
    {"num_workers": 4, "persistent_workers": True},
]


@pytest.mark.parametrize("options", WAYS, ids=str)
def test_a_batch_is_the_same_whoever_builds_it_and_wherever_the_run_was_cut(
    options: dict[str, Any],
) -> None:
    """For any number of workers, kept or not, ahead by little or much, from each place on."""
    whole = epochs_of(noisy(), 2)
    loader = noisy(**options)

    assert epochs_of(loader, 2) == whole
    for batch in range(BATCHES):
        loader.seek(epoch=1, batch=batch)
        assert as_lists(loader) == whole[1][batch:]


@pytest.mark.parametrize("seed_each", ["batch", "sample"])
def test_what_was_drawn_before_does_not_matter(seed_each: Any) -> None:
    """Nor what is drawn between two batches: random numbers are those of the place alone."""
    whole = as_lists(noisy(seed_each=seed_each))
    seed_everything(99)
    again = []
    for batch in noisy(seed_each=seed_each):
        random.random(), np.random.rand(3), torch.rand(3)  # noqa: NPY002
        again.append(as_list(batch))

    assert again == whole


def test_samples_places_epochs_and_seeds_have_different_random_numbers() -> None:
    """No two samples, and the same sample in no two epochs or runs, are augmented alike."""
    drawn = [
        number
        for loader in (noisy(), noisy(seed=1), noisy(seed_each="sample", seed=2))
        for epoch in epochs_of(loader, 2)
        for _, *numbers in (sample for batch in epoch for sample in batch)
        for number in numbers
    ]

    assert len(set(drawn)) == len(drawn) == 3 * 2 * SAMPLES * 3


def test_seeding_each_sample_makes_the_batch_size_irrelevant() -> None:
    """The samples, with their augmentation, are those of any other batch size."""
    by_size = [
        [sample for batch in as_lists(noisy(size, seed_each="sample")) for sample in batch]
        for size in (1, 4, 7)
    ]

    assert by_size[0] == by_size[1] == by_size[2]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("seed_each", ["batch", "sample"])
def test_the_training_process_keeps_its_own_random_state(workers: int, seed_each: Any) -> None:
    """Whatever is drawn to build batches, and also when the data set fails."""
    seed_everything(5)
    random.gauss(0, 1)  # One number is left over in the state, which must not be lost.
    np.random.standard_normal()  # noqa: NPY002
    before = random_state()
    for batch in noisy(num_workers=workers, seed_each=seed_each):
        del batch
        assert_same_state(before)
    with pytest.raises(ValueError, match="sample 3"):
        list(Loader(Failing(), BATCH, num_workers=workers, seed_each=seed_each))

    assert_same_state(before)


def test_data_in_memory_is_augmented_alike_too() -> None:
    """A transform of whole batches draws the same numbers in a worker and after a cut."""
    data = InMemoryDataset(
        torch.zeros(SAMPLES), transform=lambda zeros: zeros + torch.rand(len(zeros))
    )
    whole = as_lists(Loader(data, BATCH, shuffle=True))
    for workers in (0, 2):
        loader = Loader(data, BATCH, shuffle=True, num_workers=workers)
        loader.seek(0, 2)
        assert as_lists(loader) == whole[2:]


def test_a_data_set_derived_from_one_in_memory_is_augmented_alike_too() -> None:
    """What it does to its batches is not known, so they have random numbers of their own."""

    class Derived(InMemoryDataset):
        def __getitems__(self, indices: Any) -> tuple[Tensor, ...]:
            return (super().__getitems__(indices)[0] + torch.rand(len(indices)),)

    loader = Loader(Derived(torch.zeros(SAMPLES)), BATCH)
    whole = as_lists(loader)
    loader.seek(0, 1)

    assert as_lists(loader) == whole[1:]


def test_the_numbers_of_numpy_and_torch_have_nothing_in_common() -> None:
    """Both have the same algorithm: from the same seed they would be the same bits."""
    words = next(iter(Loader(Words(), batch_size=64)))

    assert not set(words[0].tolist()) & set(words[1].tolist())


# --- Saved and taken up again ------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("cut", range(BATCHES + 1))
def test_a_loader_goes_on_where_its_state_was_saved(cut: int, workers: int) -> None:
    """What was only loaded ahead is not counted, and what comes is what would have come."""
    loader = noisy(num_workers=workers)
    batches = iter(loader)
    for _ in range(cut):
        next(batches)
    saved = loader.state_dict()
    rest = [as_list(batch) for batch in batches]
    again = noisy(num_workers=2 - workers)
    again.load_state_dict(saved)

    assert saved == {"epoch": 0, "position": min(cut * BATCH, SAMPLES)}
    assert again.state_dict() == saved
    assert as_lists(again) == rest


def test_a_position_counts_samples_so_that_the_batch_size_may_change() -> None:
    """The samples that were not seen come in batches of the new size."""
    whole = [sample for batch in as_lists(noisy()) for sample, *_ in batch]
    loader = noisy(batch_size=5)
    loader.load_state_dict({"epoch": 0, "position": 8})

    assert [[sample for sample, *_ in batch] for batch in as_lists(loader)] == [
        whole[8:13],
        whole[13:18],
    ]


def test_a_loop_of_ones_own_goes_through_one_epoch_after_the_other() -> None:
    """Each complete iteration leads to the next epoch; one left early is begun again."""
    loader = noisy()
    sought = []
    for epoch in range(3):
        loader.seek(epoch)
        sought.append(as_lists(loader))
    loader = noisy()
    looped = []
    for epoch in range(3):
        assert loader.epoch == epoch
        next(iter(loader))
        looped.append(as_lists(loader))

    assert looped == sought
    assert loader.state_dict() == {"epoch": 3, "position": 0}


def test_a_loop_of_ones_own_is_resumed_by_the_loader_alone() -> None:
    """The epoch that was cut is completed, then the others follow."""
    whole = epochs_of(noisy(), 3)
    first = noisy()
    as_lists(first)
    batches = iter(first)
    next(batches), next(batches)
    resumed = noisy()
    resumed.load_state_dict(first.state_dict())

    assert [as_lists(resumed) for _ in range(resumed.epoch, 3)] == [whole[1][2:], whole[2]]


def test_an_older_iteration_does_not_move_the_place_of_a_newer_one() -> None:
    """The state is that of the newest, or what was sought after it."""
    loader = noisy()
    older = iter(loader)
    newer = iter(loader)
    next(newer), next(older), next(older)
    assert loader.state_dict() == {"epoch": 0, "position": BATCH}
    loader.seek(4, 1)
    list(newer)

    assert loader.state_dict() == {"epoch": 4, "position": BATCH}


@pytest.mark.parametrize("workers", [0, 2])
def test_an_engine_killed_inside_an_epoch_goes_on_with_the_batches_it_has_not_trained(
    workers: int,
) -> None:
    """A new engine, model and loader from the state: the same batches, the same weights."""
    whole = Training()
    whole.engine.run(noisy(), max_epochs=3)
    for iteration in (3, BATCHES, BATCHES + 2):
        killed = Training(kill_at=iteration)
        with pytest.raises(KeyboardInterrupt):
            killed.engine.run(noisy(num_workers=workers), max_epochs=3)
        resumed = Training()
        resumed.load_state_dict(killed.saved)
        resumed.engine.run(noisy(num_workers=2 - workers))

        assert killed.batches + resumed.batches == whole.batches
        assert torch.equal(resumed.model.weight, whole.model.weight)


# --- Helpers --------------------------------------------------------------


class Noisy:
    """Samples that are the index, and a number from every global generator."""

    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, index: int) -> tuple[int, float, float, float]:
        return index, random.random(), np.random.rand(), torch.rand(()).item()  # noqa: NPY002


class Failing(Noisy):
    """Its sample 3 cannot be read."""

    def __getitem__(self, index: int) -> Any:
        if index == 3:
            raise ValueError("sample 3 cannot be read")
        return super().__getitem__(index)


class Words:
    """Raw 24-bit words of NumPy and torch."""

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> tuple[int, int]:
        of_numpy = int(np.random.randint(0, 2**32, dtype=np.uint32))  # noqa: NPY002
        return of_numpy & 0xFFFFFF, int(torch.rand(()) * 2**24)


def noisy(batch_size: int = BATCH, seed: int = 3, **options: Any) -> Loader:
    """Make a shuffling loader over noisy samples."""
    return Loader(Noisy(), batch_size, shuffle=True, seed=seed, **options)


class Training:
    """A linear model that is trained on noisy samples, and saved after every iteration."""

    def __init__(self, kill_at: int | None = None) -> None:
        seed_everything(0)
        self.model = nn.Linear(3, 1)
        self.batches: list[Any] = []
        self.saved: dict[str, Any] = {}
        self._kill_at = kill_at
        self.engine = Engine(self._step)

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.engine.load_state_dict(saved["engine"])
        self.model.load_state_dict(saved["model"])

    def _step(self, engine: Engine, batch: Any) -> None:
        if engine.state.iteration == self._kill_at:
            weights = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
            self.saved = {"engine": engine.state_dict(), "model": weights}
            raise KeyboardInterrupt
        self.batches.append(as_list(batch))
        inputs = torch.stack([column.float() for column in batch[1:]], dim=1)
        self.model(inputs).square().mean().backward()
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter -= 0.1 * parameter.grad  # type: ignore[operator]
                parameter.grad = None


def epochs_of(loader: Loader, epochs: int) -> list[Any]:
    return [as_lists(loader) for _ in range(epochs)]


def as_lists(batches: Any) -> list[Any]:
    return [as_list(batch) for batch in batches]


def as_list(batch: Any) -> list[Any]:
    """Turn the columns of a batch into a list of its samples."""
    columns: Iterator[Tensor] = iter(batch)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def assert_same_state(before: dict[str, Any]) -> None:
    assert plain(random_state()) == plain(before)
