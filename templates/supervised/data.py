"""
The data: handwritten digits, split into train, validation and test.

For data of your own, change `CLASS_NAMES`, `IMAGE_SHAPE`, `read_images` and `read_image`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from scaffold_runtime import InMemoryDataset, Loader, UserError

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
    if images.shape[1:] != IMAGE_SHAPE or labels.min() < 0 or labels.max() >= len(CLASS_NAMES):
        found = f"{tuple(images.shape[1:])} with labels up to {labels.max()}"
        stated = f"IMAGE_SHAPE = {IMAGE_SHAPE} and {len(CLASS_NAMES)} CLASS_NAMES"
        raise UserError(f"the images are {found}, but data.py says {stated}")
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
            num_workers=settings.num_workers,
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


def read_image(path: Path) -> Tensor:
    """Return a picture, for predict.py, as the data has them: ink is 1, cropped, 8 x 8 pixels."""
    from matplotlib.image import imread

    try:
        pixels = torch.from_numpy(imread(path).copy()).float()
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path} cannot be read as a picture: {error}") from None
    if pixels.ndim == 3 and pixels.shape[-1] == 4:  # What is transparent shows white paper.
        full = 255 if pixels.max() > 1 else 1
        opaque = pixels[..., 3:] / full
        pixels = opaque * pixels[..., :3] + (1 - opaque) * full
    grey = pixels[..., :3].mean(dim=-1) if pixels.ndim == 3 else pixels
    grey = grey / 255 if grey.max() > 1 else grey
    border = torch.cat([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    ink = 1 - grey if border.mean() > 0.5 else grey  # Dark ink on light paper is turned round.
    if ink.max() - ink.min() < 0.1:
        raise UserError(f"{path} shows nothing: it is of one colour")
    return fit(ink).unsqueeze(0)


def fit(ink: Tensor) -> Tensor:
    """Crop to the ink, keep the proportions, and average down to the size of the data."""
    rows, columns = (ink > 0.5 * ink.max()).nonzero(as_tuple=True)
    cropped = ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    missing = cropped.shape[0] - cropped.shape[1]
    sides = [max(missing, 0) // 2, (max(missing, 0) + 1) // 2]
    ends = [max(-missing, 0) // 2, (max(-missing, 0) + 1) // 2]
    square = nn.functional.pad(cropped, sides + ends)
    return nn.functional.adaptive_avg_pool2d(square.unsqueeze(0), IMAGE_SHAPE[1:])[0]


def shift_at_random(images: Tensor, most: int) -> Tensor:
    """Move each image by up to `most` pixels each way; what comes in at the edges is 0."""
    count, _, height, width = images.shape
    padded = nn.functional.pad(images, [most] * 4)
    down, right = torch.randint(0, 2 * most + 1, (2, count, 1))
    rows = down + torch.arange(height)
    columns = right + torch.arange(width)
    samples = torch.arange(count)[:, None, None]
    return padded[samples, :, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)
