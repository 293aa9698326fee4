"""
The data: handwritten digits, split into train, validation and test.

For data of your own, change `read_images`, `CLASS_NAMES` and `IMAGE_SHAPE`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from scaffold_runtime import InMemoryDataset, Loader

if TYPE_CHECKING:
    from train import Settings

CLASS_NAMES = [str(digit) for digit in range(10)]
IMAGE_SHAPE = (1, 8, 8)  # Channels, height, width.


class Data(NamedTuple):
    """One loader for each split; a batch is (images, labels)."""

    train: Loader
    valid: Loader
    test: Loader


def make_data(settings: Settings) -> Data:
    """Split the samples by the seed: 60 % train, 20 % validation, 20 % test."""
    images, labels = read_images()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(settings.seed))
    a_fifth = len(labels) // 5
    valid, test, train = order.split([a_fifth, a_fifth, len(labels) - 2 * a_fifth])

    def augment(batch: Tensor) -> Tensor:
        return shift_at_random(batch, settings.max_shift)

    return Data(
        train=Loader(
            InMemoryDataset(images[train], labels[train], transform=augment),
            settings.batch_size,
            shuffle=True,
            seed=settings.seed,
        ),
        valid=Loader(InMemoryDataset(images[valid], labels[valid]), batch_size=512),
        test=Loader(InMemoryDataset(images[test], labels[test]), batch_size=512),
    )


def read_images() -> tuple[Tensor, Tensor]:
    """Return images of shape `(N, 1, 8, 8)` with values from 0 to 1, and labels `(N,)`."""
    with np.load(Path(__file__).parent / "data" / "digits.npz") as file:
        images = torch.from_numpy(file["images"]).float() / 16
        labels = torch.from_numpy(file["labels"]).long()
    return images.unsqueeze(1), labels


def shift_at_random(images: Tensor, most: int) -> Tensor:
    """Move each image by up to `most` pixels each way; what comes in at the edges is 0."""
    count, _, height, width = images.shape
    padded = torch.nn.functional.pad(images, [most] * 4)
    down, right = torch.randint(0, 2 * most + 1, (2, count, 1))
    rows = down + torch.arange(height)
    columns = right + torch.arange(width)
    samples = torch.arange(count)[:, None, None]
    return padded[samples, :, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)
