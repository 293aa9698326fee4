"""Where to compute."""

from __future__ import annotations

import torch

from scaffold_runtime.errors import UserError


def choose_device(name: str = "auto") -> torch.device:
    """
    Return the device of a name; "auto" is CUDA, else Apple's MPS, else the CPU.

    Raises:
        UserError: There is no such device here.

    >>> choose_device("cpu")
    device(type='cpu')
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise UserError(f"there is no device {name!r} here; try --device auto") from None
    return device
