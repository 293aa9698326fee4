"""Random numbers: seeded all at once, saved and put back, and seeds made of seeds."""

from __future__ import annotations

import io
import itertools
import random

import numpy
import pytest
import torch

from scaffold_runtime import derive_seed, random_state, seed_everything, set_random_state


@pytest.mark.parametrize("seed", [0, 1, 2**32, 2**63 - 1])
def test_one_seed_decides_every_generator(seed: int) -> None:
    """Python, NumPy and torch draw the same numbers again, and others with another seed."""
    seed_everything(seed)
    numbers = draw()
    seed_everything(seed)
    assert draw() == numbers

    seed_everything(seed - 1 if seed else 5)
    assert not set(draw()) & set(numbers)


def test_a_saved_state_gives_the_same_numbers_again() -> None:
    """It goes through a file of tensors and plain values."""
    file = io.BytesIO()
    torch.save(random_state(), file)
    numbers = [draw() for _ in range(3)]
    file.seek(0)
    set_random_state(torch.load(file, weights_only=True))

    assert [draw() for _ in range(3)] == numbers


def test_a_derived_seed_depends_on_every_part_and_their_order() -> None:
    """No two of many differ by mistake, and all are seeds that torch accepts."""
    parts = [*itertools.product(range(12), repeat=2), *itertools.product(range(5), repeat=3)]
    seeds = {derive_seed(*each) for each in [*parts, ("train", 0), ("0",), (0,)]}

    assert len(seeds) == len(parts) + 3
    assert all(0 <= seed < 2**63 for seed in seeds)
    torch.Generator().manual_seed(max(seeds))


def test_a_derived_seed_is_the_same_everywhere() -> None:
    """On every machine and in every release, so that runs can be repeated."""
    assert derive_seed(0, 1) == 8_566_881_351_708_354_045


# --- Helpers --------------------------------------------------------------


def draw() -> tuple[float, ...]:
    """Draw from every generator."""
    return (
        random.random(),
        float(numpy.random.standard_normal()),  # noqa: NPY002
        torch.rand(()).item(),
    )
