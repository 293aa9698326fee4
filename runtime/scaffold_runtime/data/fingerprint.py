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

    One of nothing takes up the checksum that was saved: for a program that uses the
    model, and not the data.

    >>> import torch
    >>> before = Fingerprint(torch.tensor([1.0, 2.0]), ["x"]).state_dict()
    >>> Fingerprint().load_state_dict(before)
    >>> Fingerprint(torch.tensor([1.0, 3.0]), ["x"]).load_state_dict(before)
    Traceback (most recent call last):
    scaffold_runtime.errors.UserError: the data has changed since the run began; put it back as it \
was, or begin another run with --run
    """

    def __init__(
        self,
        *facts: Any,
        message: str = "the data has changed since the run began; put it back as it was, "
        "or begin another run with --run",
    ) -> None:
        """
        Args:
            facts: Tensors and bytes, which are read, and plain values.
            message: What is said of data that has changed.
        """
        checksum = hashlib.sha256()
        for fact in facts:
            checksum.update(_as_bytes(fact))
        self.sha256 = checksum.hexdigest() if facts else ""
        self._message = message

    def state_dict(self) -> dict[str, str]:
        """Return the checksum."""
        return {"sha256": self.sha256}

    def load_state_dict(self, state_dict: Mapping[str, str]) -> None:
        """Compare with a checksum that was saved."""
        self.sha256 = self.sha256 or state_dict["sha256"]
        if self.sha256 != state_dict["sha256"]:
            raise UserError(self._message)


def _as_bytes(fact: Any) -> bytes:
    if isinstance(fact, Tensor):
        return bytes(fact.cpu().numpy().tobytes())
    return fact if isinstance(fact, bytes) else repr(fact).encode()
