"""Which data a model was trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from scaffold_runtime.errors import UserError


class Fingerprint:
    """
    A checksum of data, to be saved with a model, which is not used with others.

    >>> import torch
    >>> before = Fingerprint(torch.tensor([1.0, 2.0]), ["x"]).state_dict()
    >>> Fingerprint(torch.tensor([1.0, 3.0]), ["x"]).load_state_dict(before)
    Traceback (most recent call last):
    scaffold_runtime.errors.UserError: the data has changed since the run began; put it back as it \
was, or begin another run with --run
    """

    def __init__(self, *facts: Any) -> None:
        """Take tensors, which are read, and plain values."""
        checksum = hashlib.sha256()
        for fact in facts:
            plain = (
                fact.cpu().numpy().tobytes() if isinstance(fact, Tensor) else repr(fact).encode()
            )
            checksum.update(plain)
        self.sha256 = checksum.hexdigest()

    def state_dict(self) -> dict[str, str]:
        """Return the checksum."""
        return {"sha256": self.sha256}

    def load_state_dict(self, state_dict: Mapping[str, str]) -> None:
        """Compare with a checksum that was saved."""
        if self.sha256 != state_dict["sha256"]:
            raise UserError(
                "the data has changed since the run began; put it back as it was, "
                "or begin another run with --run"
            )
