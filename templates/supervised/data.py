"""
The data: handwritten digits, other images, or a table, split into train, validation and test.

For data of your own, change `CLASS_NAMES`, `IMAGE_SHAPE`, `read_images` and `read_image`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from scaffold_runtime import ImageSet, Loader, RunSettings, TableSet, UserError
from scaffold_runtime.data import (
    cache_folder,
    choose_fold,
    class_weights,
    read_image_set,
    read_picture,
    read_table_set,
    split_samples,
)
from scaffold_runtime.settings import Count

if TYPE_CHECKING:
    from train import Settings

CLASS_NAMES = [str(digit) for digit in range(10)]
IMAGE_SHAPE = (1, 8, 8)  # Channels, height, width.


@dataclass(frozen=True)
class DataSettings(RunSettings):
    """What to learn from; `Settings` in train.py has these, too."""

    dataset: Literal["digits", "fashion-mnist", "mnist", "image-folder", "csv"] = "digits"
    path: str = ""  # The CSV file, or the folder with a folder of pictures for each class.
    task: Literal["classification", "regression"] = "classification"  # Regression: csv alone.
    target: str = ""  # The column of the CSV file that is to be predicted.
    image_size: Count = 0  # Height and width in pixels; 0 leaves images as they are.
    grey: bool = False  # Read the pictures of a folder in shades of grey.
    cache: str | None = None  # The folder for downloads; by default ~/.cache/scaffold.
    folds: Count = 0  # Divide what is not for testing into so many parts, of which one validates.
    fold: Count = 0  # Which one, from 0.
    balanced_sampling: bool = False  # Draw samples of all classes equally often, some repeatedly.


class Data(NamedTuple):
    """One loader for each split; a batch is (inputs, targets)."""

    train: Loader
    valid: Loader
    test: Loader
    samples: ImageSet | TableSet


def make_data(settings: Settings) -> Data:
    """Read the samples and split them, by the seed."""
    samples = read_samples(settings)
    if settings.folds:
        samples.splits = choose_fold(
            samples.splits, samples.labels, settings.folds, settings.fold, settings.seed
        )

    def augment(batch: Tensor) -> Tensor:
        return shift_at_random(batch, settings.max_shift)

    moves = isinstance(samples, ImageSet) and settings.max_shift > 0
    labels = samples.labels[samples.splits["train"]]
    weights = class_weights(labels)[labels] if settings.balanced_sampling else None
    workers = settings.num_workers
    return Data(
        train=Loader(
            samples.dataset("train", transform=augment if moves else None),
            settings.batch_size,
            shuffle=weights is None,
            weights=weights,
            seed=settings.seed,
            num_workers=workers,
        ),
        valid=Loader(samples.dataset("valid"), batch_size=512, num_workers=workers),
        test=Loader(samples.dataset("test"), batch_size=512, num_workers=workers),
        samples=samples,
    )


def read_samples(settings: DataSettings) -> ImageSet | TableSet:
    """Read what the settings name: images `(N, channels, height, width)` from 0 to 1, or rows."""
    if settings.dataset == "csv":
        return read_table_set(Path(settings.path), settings.target, settings.task, settings.seed)
    size = settings.image_size or None
    if settings.dataset == "digits":
        images, labels = read_images()
        check_images(images, labels)
        if size is not None:
            images = interpolate(images, (size, size), mode="bilinear", antialias=True)
        return ImageSet(images, labels, CLASS_NAMES, split_samples(len(labels), settings.seed))
    is_folder = settings.dataset == "image-folder"
    folder = Path(settings.path) if is_folder else cache_folder(settings.cache)
    return read_image_set(settings.dataset, folder, size, settings.seed, settings.grey)


def check_images(images: Tensor, labels: Tensor) -> None:
    """Refuse images that are not what the top of this file says."""
    if images.shape[1:] != IMAGE_SHAPE or labels.min() < 0 or labels.max() >= len(CLASS_NAMES):
        found = f"{tuple(images.shape[1:])} with labels up to {labels.max()}"
        stated = f"IMAGE_SHAPE = {IMAGE_SHAPE} and {len(CLASS_NAMES)} CLASS_NAMES"
        raise UserError(f"the images are {found}, but data.py says {stated}")


def read_images() -> tuple[Tensor, Tensor]:
    """Return images of shape `(N, 1, 8, 8)` with values from 0 to 1, and labels `(N,)`."""
    with np.load(Path(__file__).parent / "data" / "digits.npz") as file:
        images = torch.from_numpy(file["images"]).float() / 16
        labels = torch.from_numpy(file["labels"]).long()
    return images.unsqueeze(1), labels


def read_image(path: Path, settings: DataSettings, shape: tuple[int, int, int]) -> Tensor:
    """Return a picture, for predict.py, as the data has them: of this shape, ink is 1, cropped."""
    if settings.dataset == "image-folder":
        return read_picture(path, shape)
    paper = read_picture(path)  # Of its own size, (3, height, width).
    grey = paper.mean(dim=0)
    border = torch.cat([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    ink = 1 - grey if border.mean() > 0.5 else grey  # Dark ink on light paper is turned round.
    if ink.max() - ink.min() < 0.1:
        raise UserError(f"{path} shows nothing: it is of one colour")
    # In MNIST there are 4 of 28 pixels on each side of a digit; the others fill their images.
    return fit(ink, shape[-1], margin=shape[-1] // 7 if settings.dataset == "mnist" else 0)


def fit(ink: Tensor, size: int, margin: int) -> Tensor:
    """Crop to the ink, keep the proportions, and average down to the size of the data."""
    rows, columns = (ink > 0.5 * ink.max()).nonzero(as_tuple=True)
    cropped = ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    missing = cropped.shape[0] - cropped.shape[1]
    sides = [max(missing, 0) // 2, (max(missing, 0) + 1) // 2]
    ends = [max(-missing, 0) // 2, (max(-missing, 0) + 1) // 2]
    square = nn.functional.pad(cropped, sides + ends)
    small = nn.functional.adaptive_avg_pool2d(square[None], size - 2 * margin)
    return nn.functional.pad(small, [margin] * 4)


def shift_at_random(images: Tensor, most: int) -> Tensor:
    """Move each image by up to `most` pixels each way; what comes in at the edges is 0."""
    count, _, height, width = images.shape
    padded = nn.functional.pad(images, [most] * 4)
    down, right = torch.randint(0, 2 * most + 1, (2, count, 1))
    rows = down + torch.arange(height)
    columns = right + torch.arange(width)
    samples = torch.arange(count)[:, None, None]
    return padded[samples, :, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)
