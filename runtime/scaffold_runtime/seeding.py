"""Random numbers: one seed for everything, and the whole state saved and put back."""

from __future__ import annotations

import hashlib
import logging
import random
from typing import Any

import torch

logger = logging.getLogger(__name__)


def seed_everything(seed: int) -> None:
    """
    Seed Python's, NumPy's (where installed) and torch's generators, those of all devices.

    >>> seed_everything(0)
    >>> drawn = torch.rand(1)
    >>> seed_everything(0)
    >>> torch.equal(torch.rand(1), drawn)
    True
    """
    random.seed(seed)
    torch.manual_seed(seed)
    numpy = _numpy()
    if numpy is not None:
        numpy.random.seed(seed % 2**32)


def derive_seed(*parts: int | str) -> int:
    """
    Return a seed that depends on every part and on their order, from 0 to 2**63 - 1.

    A sum would not do: (seed 0, epoch 1) and (seed 1, epoch 0) must differ.

    >>> derive_seed(0, 1) != derive_seed(1, 0)
    True
    """
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def random_state() -> dict[str, Any]:
    """
    Return the state of all generators, as tensors and plain values.

    >>> "python" in random_state(), "torch" in random_state()
    (True, True)
    """
    version, words, gauss = random.getstate()
    # Hundreds of numbers are saved faster as one tensor.
    python = (version, torch.tensor(words), gauss)
    state: dict[str, Any] = {"python": python, "torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    if torch.backends.mps.is_available():
        state["mps"] = torch.mps.get_rng_state()
    numpy = _numpy()
    if numpy is not None:
        name, words, *rest = numpy.random.get_state()
        state["numpy"] = (name, torch.from_numpy(words.astype("int64")), *rest)
    return state


def set_random_state(state: dict[str, Any]) -> None:
    """
    Put the generators back into a state that `random_state` returned.

    >>> before = random_state()
    >>> drawn = random.random()
    >>> set_random_state(before)
    >>> random.random() == drawn
    True
    """
    version, words, gauss = state["python"]
    random.setstate((version, tuple(_numbers(words)), gauss))
    torch.set_rng_state(state["torch"].cpu())
    if "mps" in state and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"].cpu())
    _set_cuda_states(state.get("cuda", []))
    numpy = _numpy()
    if "numpy" in state and numpy is not None:
        name, words, *rest = state["numpy"]
        numpy.random.set_state((name, _numbers(words), *rest))


def _numbers(words: Any) -> list[int]:
    """Return the numbers of a tensor, or of a sequence, as releases before 0.5.0 saved them."""
    return words.tolist() if isinstance(words, torch.Tensor) else list(words)


def _set_cuda_states(states: list[torch.Tensor]) -> None:
    devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if devices == len(states) > 0:
        torch.cuda.set_rng_state_all([state.cpu() for state in states])
    elif devices != len(states):
        logger.warning(
            "random numbers on CUDA begin anew: there were %d devices, and are %d",
            len(states),
            devices,
        )


def _numpy() -> Any:
    try:
        import numpy
    except ImportError:
        return None
    return numpy
