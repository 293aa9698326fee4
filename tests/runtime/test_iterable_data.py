"""Data sets that only give one sample after another."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from states import plain
from torch.utils.data import IterableDataset, get_worker_info

from scaffold_runtime import Engine, Loader, random_state


class Stream(IterableDataset[Any]):
    """Ten numbers, shuffled when it is begun, with a random number each; workers share them."""

    def __iter__(self) -> Iterator[tuple[int, float]]:
        numbers = list(range(10))
        random.shuffle(numbers)
        worker = get_worker_info()
        mine = numbers[worker.id :: worker.num_workers] if worker else numbers
        return ((number, torch.rand(()).item()) for number in mine)


class Told(IterableDataset[int]):
    """A data set that is told its epoch, and knows its length."""

    def __init__(self) -> None:
        self.epoch = -1

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return 5

    def __iter__(self) -> Iterator[int]:
        return iter([self.epoch] * 5)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_an_iterable_data_set_goes_on_at_its_place_by_skipping(
    workers: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The batches before are drawn and dropped, which a warning says; the rest is as it was."""
    loader = Loader(Stream(), 4, num_workers=workers)
    whole = [as_lists(loader) for _ in range(2)]
    assert whole[0] != whole[1]
    loader.seek(1, 2)
    with caplog.at_level(logging.WARNING):
        rest = as_lists(loader)

    assert rest == whole[1][2:]
    assert caplog.messages == [
        "skipping 2 batches of an iterable data set: they are loaded and dropped"
    ]


def test_one_worker_gives_the_batches_of_none() -> None:
    """The random numbers of a batch are those of its place in the stream."""
    assert as_lists(Loader(Stream(), 4, num_workers=1)) == as_lists(Loader(Stream(), 4))


def test_several_workers_draw_different_numbers() -> None:
    """Each has random numbers of its own."""
    batches = as_lists(Loader(Rolls(), 5, num_workers=2))

    assert len(batches) == 2
    assert batches[0] != batches[1]


class Rolls(IterableDataset[float]):
    """Five random numbers, in every worker."""

    def __iter__(self) -> Iterator[float]:
        return (random.random() for _ in range(5))


@pytest.mark.parametrize("seed_each", ["batch", "sample"])
def test_a_stream_leaves_the_random_state_of_the_training_process_alone(seed_each: Any) -> None:
    """Before, between and after its batches; and what is drawn there does not change them."""
    whole = as_lists(Loader(Stream(), 4, seed_each=seed_each))
    seen = []
    for batch in Loader(Stream(), 4, seed_each=seed_each):
        seen.append([part.tolist() for part in batch])
        torch.rand(1), random.random()
    before = random_state()
    as_lists(Loader(Stream(), 4, seed_each=seed_each))
    after = random_state()

    assert seen == whole
    assert plain(after) == plain(before)


def test_seeding_each_sample_of_a_stream_makes_the_batch_size_irrelevant() -> None:
    """The same numbers in other batches."""
    drawn = [
        [
            number
            for batch in as_lists(Loader(Rolls(), size, seed_each="sample"))
            for number in batch
        ]
        for size in (2, 5)
    ]

    assert drawn[0] == drawn[1]


def test_the_last_batch_of_a_stream_may_be_left_out() -> None:
    """All are full then."""
    assert [len(batch) for batch, _ in Loader(Stream(), 4)] == [4, 4, 2]
    assert [len(batch) for batch, _ in Loader(Stream(), 4, drop_last=True)] == [4, 4]


def test_a_stream_is_told_its_epoch_and_asked_for_its_length() -> None:
    """Where it can be; with several workers the number of batches is not known."""
    loader = Loader(Told(), 2)
    loader.seek(3)

    assert [batch.tolist() for batch in loader] == [[3, 3], [3, 3], [3]]
    assert (len(loader), len(Loader(Told(), 2, drop_last=True))) == (3, 2)
    for unknown in (Loader(Told(), 2, num_workers=2), Loader(Stream(), 2)):
        with pytest.raises(TypeError):
            len(unknown)


def test_an_engine_goes_on_in_the_middle_of_a_stream() -> None:
    """With a new loader, the batches it has not trained, in this epoch and the next."""
    whole: list[Any] = []
    record(whole).run(Loader(Stream(), 4), max_epochs=2)
    for cut in range(1, 6):
        parts: list[Any] = []
        record(parts).run(Loader(Stream(), 4), max_iters=cut)
        resumed = record(parts)
        resumed.load_state_dict({"iteration": cut, "epoch_length": 3, "max_epochs": 2})
        resumed.run(Loader(Stream(), 4))
        assert parts == whole


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shuffle": True}, "has an order of its own: leave out shuffle"),
        ({"sampler": [0]}, "leave out sampler"),
        ({"weights": [1.0]}, "leave out weights"),
        ({"persistent_workers": True, "num_workers": 1}, "leave out persistent_workers"),
    ],
)
def test_what_a_stream_cannot_do_is_refused(options: dict[str, Any], message: str) -> None:
    """When the loader is made."""
    with pytest.raises(ValueError, match=message):
        Loader(Stream(), 4, **options)


def test_a_place_inside_a_batch_of_a_stream_is_refused() -> None:
    """It was saved with another batch size, and skipping goes by batches."""
    loader = Loader(Stream(), 4)
    loader.load_state_dict({"epoch": 0, "position": 6})
    with pytest.raises(ValueError, match="position 6 is not a whole number of batches of 4"):
        iter(loader)


def as_lists(loader: Loader) -> list[Any]:
    return [
        torch.stack(tuple(batch)).tolist() if isinstance(batch, list) else batch.tolist()
        for batch in loader
    ]


def record(batches: list[Any]) -> Engine:
    return Engine(lambda engine, batch: batches.append([part.tolist() for part in batch]))
