"""Batches on a device before they are used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import torch

from scaffold_runtime import InMemoryDataset, Loader, to_device, trainers
from scaffold_runtime.device import move_ahead, one_ahead


def test_a_loader_moves_its_batches() -> None:
    """Whatever they are made of; its place is that of the batch that was given."""
    loader = Loader(InMemoryDataset(torch.arange(6), torch.zeros(6)), 2, device="meta")
    batches = iter(loader)
    first = next(batches)

    assert [tensor.device.type for tensor in first] == ["meta", "meta"]
    assert loader.state_dict() == {"epoch": 0, "position": 2}
    assert len(list(batches)) == 2


def test_nested_batches_keep_their_form() -> None:
    """Lists, tuples, named tuples and mappings; what is no tensor is left alone."""

    class Pair(NamedTuple):
        x: Any
        y: Any

    moved = to_device({"pair": Pair(torch.ones(1), ["a", (torch.ones(2), 3)])}, "meta")

    assert moved["pair"].x.device.type == "meta"
    assert moved["pair"].y[0] == "a"
    assert moved["pair"].y[1][0].device.type == "meta"
    assert moved["pair"].y[1][1] == 3
    assert trainers.to_device is to_device


def test_one_is_drawn_ahead_and_no_more() -> None:
    """Each before the one in front of it is given, also the last."""
    drawn: list[int] = []

    def items() -> Iterator[int]:
        for number in range(3):
            drawn.append(number)
            yield number

    seen = [(item, len(drawn)) for item in one_ahead(items())]

    assert seen == [(0, 2), (1, 3), (2, 3)]
    assert list(one_ahead(iter([]))) == []


def test_an_error_ahead_waits_for_its_turn() -> None:
    """The batch in front of it is given first, so that no finished work is lost."""

    def items() -> Iterator[int]:
        yield 1
        raise LookupError("the second")

    ahead = one_ahead(items())

    assert next(ahead) == 1
    with pytest.raises(LookupError, match="the second"):
        next(ahead)


@pytest.mark.skipif(torch.accelerator.is_available(), reason="needs a machine without one")
def test_pinned_memory_is_asked_for() -> None:
    """Of torch, which says so where there is no device to read it."""
    with pytest.warns(UserWarning, match="'pin_memory' argument is set"):
        iter(Loader(range(4), 2, pin_memory=True))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_on_cuda_are_those_on_the_cpu(workers: int) -> None:
    """Also while the device is busy, and with memory that is used again and again."""
    data = InMemoryDataset(torch.randn(4096, 1024))
    on_cpu = Loader(data, 64, shuffle=True)
    on_cuda = Loader(data, 64, shuffle=True, num_workers=workers, device="cuda")
    busy = torch.randn(2048, 2048, device="cuda")
    sums = []
    for (batch,) in on_cuda:
        busy = (busy @ busy).tanh()
        sums.append(batch.double().sum())
        del batch

    assert [total.item() for total in sums] == pytest.approx(
        [batch.double().sum().item() for (batch,) in on_cpu]
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_what_is_on_cuda_already_stays_there() -> None:
    """Only memory of the CPU is pinned and copied."""
    tensor = torch.ones(3, device="cuda")
    (moved,) = move_ahead(iter([tensor]), torch.device("cuda"))

    assert moved is tensor
