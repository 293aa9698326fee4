"""Several loaders side by side: what a batch has, how long an epoch is, and going on."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scaffold_runtime import Engine, InMemoryDataset, Loader, Streams


def test_an_epoch_is_a_pass_over_the_loader_that_is_named() -> None:
    """The other one begins again beside it whenever it ends, and goes on into the next epoch."""
    streams = make_streams(few=3, many=4)

    first, second = places(streams, "few"), places(streams, "few")

    assert len(streams) == 4
    assert first == [(0, 0), (0, 1), (0, 2), (1, 0)]
    assert second == [(1, 1), (1, 2), (2, 0), (2, 1)]


def test_a_longer_stream_goes_on_from_epoch_to_epoch() -> None:
    """So nothing of it is left out when the epochs are those of a shorter one."""
    streams = make_streams(few=2, many=5, epoch_of="few")

    seen = [places(streams, "many") for _ in range(3)]

    assert seen == [[(0, 0), (0, 1)], [(0, 2), (0, 3)], [(0, 4), (1, 0)]]


def test_the_order_is_another_each_time_a_stream_begins_again() -> None:
    """As a loader's is in each of its epochs: all samples, in an order of its own."""
    few = Loader(range(8), batch_size=4, shuffle=True)
    streams = Streams({"few": few, "many": Loader(range(6), batch_size=1)}, epoch_of="many")

    batches = [batch["few"].tolist() for batch in streams]
    rounds = [batches[at] + batches[at + 1] for at in (0, 2, 4)]

    assert all(sorted(each) == list(range(8)) for each in rounds)
    assert len({tuple(each) for each in rounds}) == 3


@settings(max_examples=40, deadline=None)
@given(
    few=st.integers(1, 5),
    many=st.integers(1, 7),
    first_epoch=st.integers(-3, 2),
    epoch=st.integers(0, 4),
    data=st.data(),
)
def test_any_place_can_be_sought(
    few: int, many: int, first_epoch: int, epoch: int, data: Any
) -> None:
    """What follows is what an unbroken iteration gives from there, of every stream."""
    batch = data.draw(st.integers(0, many))
    unbroken = make_streams(few, many, first_epoch=first_epoch)
    expected = [list(unbroken) for _ in range(epoch + 1)][epoch][batch:]

    sought = make_streams(few, many, first_epoch=first_epoch)
    sought.seek(epoch, batch)

    assert list(sought) == expected


def test_a_state_is_a_place_to_go_on_from() -> None:
    """Taken in the middle of an epoch, and loaded into streams that have given nothing."""
    streams = make_streams(few=2, many=5)
    list(streams)
    batches = iter(streams)
    taken = [next(batches), next(batches)]
    again = make_streams(few=2, many=5)

    again.load_state_dict(streams.state_dict())

    assert streams.state_dict() == {"epoch": 1, "batch": 2}
    assert len(taken) == 2
    assert list(again) == list(batches)
    assert again.epoch == 2


def test_an_iteration_that_was_left_is_begun_again() -> None:
    """As with a loader: the epoch is not over."""
    streams = make_streams(few=2, many=3)
    first = next(iter(streams))

    assert next(iter(streams)) == first
    assert streams.epoch == 0


def test_skipping_loads_nothing() -> None:
    """The samples before the place are never asked for."""
    asked: list[int] = []

    class Watched(InMemoryDataset):
        def __getitems__(self, indices: Any) -> Any:
            asked.extend(torch.as_tensor(indices).tolist())
            return super().__getitems__(indices)

    few, many = Watched(torch.arange(4)), Watched(torch.arange(100, 200))
    streams = Streams({"few": Loader(few, 1), "many": Loader(many, 1)}, epoch_of="many")

    streams.seek(2, 97)
    next(iter(streams))

    assert asked == [97, 297 % 4]


def test_a_negative_first_epoch_comes_before_those_of_another_run() -> None:
    """After that many epochs, both runs see the same."""
    later = make_streams(few=3, many=4, first_epoch=-2)
    before = [list(later), list(later)]

    assert list(later) == list(make_streams(few=3, many=4))
    assert before[0] != before[1]


def test_an_engine_goes_on_inside_an_epoch_with_every_stream() -> None:
    """A run that was stopped and one that was not see the same batches, with random transforms."""
    unbroken, stopped, resumed = [], [], []
    Engine(lambda engine, batch: unbroken.append(batch)).run(make_random_streams(), max_epochs=3)

    def step(engine: Engine, batch: Any) -> None:
        stopped.append(batch)
        if len(stopped) == 7:
            engine.terminate()

    trainer = Engine(step)
    trainer.run(make_random_streams(), max_epochs=3)
    again = Engine(lambda engine, batch: resumed.append(batch))
    again.load_state_dict(trainer.state_dict())
    torch.rand(5)
    again.run(make_random_streams(), max_epochs=3)

    assert len(unbroken) == len(stopped + resumed) == 15
    for one, other in zip(unbroken, stopped + resumed, strict=True):
        for name in ("few", "many"):
            assert torch.equal(one[name][0], other[name][0])


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"epoch_of": "all"}, "epoch_of is 'all', but the loaders are few, many"),
        ({"few": 0}, "the loader 'few' is empty: there is no batch to go on with"),
    ],
)
def test_streams_that_cannot_be_are_refused(arguments: dict[str, Any], complaint: str) -> None:
    """Before a batch is asked for."""
    with pytest.raises(ValueError, match=complaint):
        make_streams(**{"few": 2, "many": 3, **arguments})


def test_one_loader_cannot_be_two_streams() -> None:
    """It stands at one place only."""
    loader = Loader(range(3), batch_size=1)

    with pytest.raises(ValueError, match="give each name a loader of its own"):
        Streams({"one": loader, "two": loader}, epoch_of="one")


class Places:
    """A loader whose batches say their epoch and their number in it."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.place = (0, 0)

    def __len__(self) -> int:
        return self.length

    def seek(self, epoch: int, batch: int = 0) -> None:
        self.place = (epoch, batch)

    def __iter__(self) -> Any:
        epoch, batch = self.place
        return iter([(epoch, number) for number in range(batch, self.length)])


def make_streams(few: int, many: int, epoch_of: str = "many", first_epoch: int = 0) -> Streams:
    loaders: dict[str, Any] = {"few": Places(few), "many": Places(many)}
    return Streams(loaders, epoch_of, first_epoch=first_epoch)


def make_random_streams() -> Streams:
    """Two streams whose batches are shuffled and changed at random; the epoch has 5 batches."""

    def noise(batch: torch.Tensor) -> torch.Tensor:
        return batch + torch.rand(batch.shape)

    def loader(samples: int, seed: int) -> Loader:
        data = InMemoryDataset(torch.arange(float(samples)), transform=noise)
        return Loader(data, batch_size=2, shuffle=True, seed=seed)

    return Streams({"few": loader(5, 1), "many": loader(10, 2)}, epoch_of="many")


def places(streams: Streams, name: str) -> list[Any]:
    """Return the place of each batch of one of the streams, in an epoch."""
    return [batch[name] for batch in streams]
