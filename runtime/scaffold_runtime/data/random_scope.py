"""Random numbers that depend on a seed alone, beside those of the training process."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.data import get_worker_info


@contextmanager
def random_scope(seed: int) -> Iterator[None]:
    """
    Seed Python's, NumPy's and torch's global generators in a block, and put them back after it.

    A worker process of a loader spares itself the putting back: nobody else draws
    there. Generators of devices are left alone.

    >>> before = torch.default_generator.get_state()
    >>> with random_scope(1):
    ...     first = torch.rand(3)
    >>> with random_scope(1):
    ...     print(torch.equal(torch.rand(3), first))
    True
    >>> torch.equal(torch.default_generator.get_state(), before)
    True
    """
    if get_worker_info() is not None:
        seed_global_generators(seed)
        yield
        return
    numpy = _imported_numpy()
    of_python, of_torch = random.getstate(), torch.default_generator.get_state()
    of_numpy = numpy and numpy.random.get_state(legacy=False)
    try:
        seed_global_generators(seed)
        yield
    finally:
        random.setstate(of_python)
        torch.default_generator.set_state(of_torch)
        if numpy is not None:
            numpy.random.set_state(of_numpy)


def seed_global_generators(seed: int) -> None:
    """Seed the three generators with a number from 0 to 2**63 - 1, as `derive_seed` gives it."""
    random.seed(seed)
    # `torch.manual_seed` takes a thousand times as long: it goes to every device as well.
    torch.default_generator.manual_seed(seed)
    numpy = _imported_numpy()
    if numpy is not None:
        # Torch makes use of the lower 32 bits, by the same algorithm: other bits, other numbers.
        numpy.random.seed(seed >> 31)


def _imported_numpy() -> Any:
    """Return NumPy if anything has imported it; else no random number of it can matter."""
    return sys.modules.get("numpy")
