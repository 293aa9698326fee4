"""Sums of tensors: exact, on the device, and copied when they are saved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def sum_dtype(device: torch.device) -> torch.dtype:
    """Return the widest type for sums on a device: double, except on MPS, which has none."""
    return torch.float32 if device.type == "mps" else torch.float64


def add_up(total: Tensor | float, value: Tensor, weight: int = 1) -> Tensor:
    """Return `total + weight * value` in the widest type, on the device of the value."""
    if not isinstance(total, Tensor):
        return value.to(sum_dtype(value.device)) * weight + total
    if total.device != value.device:  # The state was loaded from a file.
        total = total.to(value.device, sum_dtype(value.device))
    return torch.add(total, value, alpha=weight)


def copied(value: Any) -> Any:
    """Return a value with its tensors copied, also those in lists and mappings."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, Mapping):
        return {name: copied(item) for name, item in value.items()}
    return [copied(item) for item in value] if isinstance(value, list) else value
