"""The numbers that are logged, as plain ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn


def scalars(values: Mapping[str, Any]) -> dict[str, float]:
    """
    Return the single numbers in values, those in sequences and mappings by `name/index`.

    >>> scalars({"loss": torch.tensor(0.5), "recall": [0.25, 1.0], "note": "best"})
    {'loss': 0.5, 'recall/0': 0.25, 'recall/1': 1.0}
    """
    return {name: value for name, part in values.items() for name, value in _scalars(name, part)}


def gradients(model: nn.Module) -> list[tuple[str, Tensor]]:
    """Return the gradients that the model's parameters have, with the parameters' names."""
    named = model.named_parameters()
    return [(name, each.grad.detach()) for name, each in named if each.grad is not None]


def norms(named: Sequence[tuple[str, Tensor]]) -> dict[str, float]:
    """Return the Euclidean norm of each tensor, read in one go."""
    if not named:
        return {}
    values = torch._foreach_norm([tensor for _, tensor in named])
    together = torch.stack([value.double() for value in values]).tolist()
    return {name: value for (name, _), value in zip(named, together, strict=True)}


def _scalars(name: str, value: Any) -> Iterator[tuple[str, float]]:
    value = value.tolist() if isinstance(value, Tensor) else value
    if isinstance(value, int | float):
        yield name, float(value)
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _scalars(f"{name}/{key}", part)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, part in enumerate(value):
            yield from _scalars(f"{name}/{index}", part)
    elif hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # NumPy's numbers.
        yield name, float(value.item())
