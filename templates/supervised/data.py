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
from torch import Tensor
from torch.nn.functional import interpolate

from scaffold_runtime import ImageSet, Loader, RunSettings, TableSet, UserError
from scaffold_runtime.data import (
    cache_folder,
    choose_fold,
    class_weights,
    read_drawing,
    read_image_set,
    read_picture,
    read_table_set,
    shift_at_random,
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


def check_data_settings(settings: DataSettings) -> None:
    """Refuse settings of the data that contradict each other, before anything is read."""
    chosen, is_table = settings.dataset, settings.dataset == "csv"
    refuse(is_table and not settings.path, "--dataset csv needs its file: --path FILE")
    refuse(is_table and not settings.target, "--dataset csv needs a column: --target NAME")
    refuse(
        chosen == "image-folder" and not settings.path,
        "--dataset image-folder needs its folder: --path FOLDER",
    )
    refuse(
        (settings.path or settings.target) and chosen not in ("csv", "image-folder"),
        f"--path and --target are for csv and image-folder, and the dataset is {chosen}",
    )
    refuse(settings.target and not is_table, f"--target is for csv, and the dataset is {chosen}")
    refuse(
        settings.task == "regression" and not is_table,
        f"--task regression is for csv, not for {chosen}",
    )
    refuse(settings.folds == 1, "--folds must be 2 or more, or 0 for none")
    refuse(
        settings.fold and settings.fold >= settings.folds,
        f"there is no --fold {settings.fold} of --folds {settings.folds}; they count from 0, "
        "and --folds 5 makes five",
    )


def refuse(is_wrong: object, why: str) -> None:
    """End with one line for the user, if something is wrong."""
    if is_wrong:
        raise UserError(why)


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
    workers, large = settings.num_workers, 4 * settings.batch_size  # Without gradients more fit.
    return Data(
        train=Loader(
            samples.dataset("train", transform=augment if moves else None),
            settings.batch_size,
            shuffle=weights is None,
            weights=weights,
            seed=settings.seed,
            num_workers=workers,
        ),
        valid=Loader(samples.dataset("valid"), large, num_workers=workers),
        test=Loader(samples.dataset("test"), large, num_workers=workers),
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
    # In MNIST there are 4 of 28 pixels on each side of a digit; the others fill their images.
    margin = shape[-1] // 7 if settings.dataset == "mnist" else 0
    return read_drawing(path, shape[-1], margin)
