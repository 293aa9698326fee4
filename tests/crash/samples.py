"""The data of the crash tests: made, not read, and augmented with every generator there is."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import numpy
import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

TRAIN, VALID = 200, 64  # Samples; 200 in batches of 16 are 13 batches, the last one smaller.
FEATURES, CLASSES = 16, 4


class Samples(Dataset[tuple[Tensor, int, int]]):
    """
    Points `(FEATURES,)` of some classes; a sample is (point, class, id).

    An augmented one is moved by numbers from Python's, NumPy's and torch's generators,
    so a wrong state of any of them changes it.
    """

    def __init__(self, count: int, seed: int, augmented: bool = False, trap: Trap | None = None):
        generator = torch.Generator().manual_seed(seed)
        self.classes = torch.randint(0, CLASSES, (count,), generator=generator)
        centres = 1.5 * torch.eye(CLASSES, FEATURES)[self.classes]
        self.points = centres + torch.randn(count, FEATURES, generator=generator)
        self._augmented = augmented
        self._trap = trap

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        if self._trap is not None:
            self._trap.spring(index)
        point = self.points[index]
        if self._augmented:
            point = point * random.uniform(0.9, 1.1) + 0.1 * torch.randn(FEATURES)
            point = point + torch.from_numpy(numpy.random.normal(0.0, 0.1, FEATURES)).float()  # noqa: NPY002
        return point, int(self.classes[index]), index


class Trap:
    """Something that goes wrong with one sample, in the first process that comes to it."""

    def __init__(self, kind: str, sample: int, sprung: Path) -> None:
        """
        Args:
            kind: `"exception"`, or `"worker"`, which kills the loader worker.
            sample: The id of the sample it goes wrong with.
            sprung: The file that says that it has.
        """
        self.kind = kind
        self.sample = sample
        self.sprung = sprung

    def spring(self, sample: int) -> None:
        """Go wrong, if it is this sample and has not been done before."""
        if sample != self.sample or self.sprung.exists():
            return
        self.sprung.touch()
        if self.kind == "exception":
            raise ValueError(f"sample {sample} cannot be read")
        assert get_worker_info() is not None, "only a worker may be killed alone"
        os.kill(os.getpid(), signal.SIGKILL)
