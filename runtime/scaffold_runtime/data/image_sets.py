"""Sets of images with labels: the digits, MNIST, Fashion-MNIST, and folders of pictures."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from scaffold_runtime.data.datasets import InMemoryDataset
from scaffold_runtime.data.fingerprint import Fingerprint
from scaffold_runtime.data.image_files import (
    ImageFiles,
    find_image_files,
    open_image_files,
)
from scaffold_runtime.data.published import read_published
from scaffold_runtime.data.splits import Splits, hold_out, split_samples
from scaffold_runtime.errors import UserError

ImageSetName = Literal["digits", "fashion-mnist", "mnist", "image-folder"]


class ImageSet:
    """
    Images with their labels, the names of the classes, and who is in which split.

    >>> images, labels = torch.rand(10, 1, 8, 8), torch.arange(10) % 2
    >>> images = ImageSet(images, labels, ["even", "odd"], split_samples(10))
    >>> images.shape, len(images.dataset("train")), len(images.splits["test"])
    ((1, 8, 8), 6, 2)
    """

    def __init__(
        self,
        images: Tensor | ImageFiles,
        labels: Tensor,
        class_names: list[str],
        splits: Splits,
    ) -> None:
        """
        Args:
            images: Of shape `(N, C, H, W)`, values from 0 to 1; or files of such images.
            labels: Of shape `(N,)`, whole numbers from 0.
            class_names: One for each label.
            splits: Indices of samples by "train", "valid" and "test".
        """
        self._images = images
        self.labels = labels
        self.class_names = class_names
        self.splits = splits
        channels, height, width = images.shape[-3:]
        self.shape = (channels, height, width)

    @cached_property
    def images(self) -> Tensor:
        """All images, `(N, C, H, W)`; those of files are read now, and kept."""
        if isinstance(self._images, Tensor):
            return self._images
        return self._images[range(len(self._images))]

    @property
    def fingerprint(self) -> Fingerprint:
        """Of labels and splits; of files the names, too."""
        images = self._images
        names = [] if isinstance(images, Tensor) else [path.name for path in images.paths]
        return Fingerprint(self.labels, self.class_names, names, *self.splits.values())

    def dataset(
        self, split: str, transform: Callable[[Tensor], Tensor] | None = None
    ) -> InMemoryDataset:
        """
        Return a split as (images, labels); those of files are read batch by batch.

        Raises:
            UserError: It has no images.
        """
        chosen = self.splits[split]
        if len(chosen) == 0:
            raise UserError(f"the {split} split has no images: there are {len(self.labels)} in all")
        images = self._images
        some = images[chosen] if isinstance(images, Tensor) else images.select(chosen)
        return InMemoryDataset(some, self.labels[chosen], transform=transform)


def read_image_set(
    name: ImageSetName,
    folder: Path,
    image_size: int | None = None,
    seed: int = 0,
    grey: bool = False,
) -> ImageSet:
    """
    Read a set of images, which is downloaded first if it is MNIST or Fashion-MNIST.

    Their published test split tests, and 10,000 of the others validate. Of the digits
    a fifth each does, as of pictures that lie in no folders `train` and `test`.

    Args:
        name: "digits", "mnist", "fashion-mnist" or "image-folder".
        folder: Where `digits.npz` lies, where downloads are kept, or that of the pictures.
        image_size: Height and width in pixels; by default as they are.
        seed: Decides the splits.
        grey: Pictures in folders get one channel instead of three.

    Raises:
        UserError: The set cannot be had or read.
    """
    if name == "image-folder":
        return _read_folder(folder, image_size, seed, grey)
    if name == "digits":
        images, labels = _read_digits(folder / "digits.npz")
        class_names, splits = [str(digit) for digit in range(10)], split_samples(len(labels), seed)
    else:
        images, labels, class_names, for_test = read_published(name, folder / name)
        others = torch.arange(len(labels) - for_test)
        train, valid = hold_out(others, len(others) // 6, seed)
        splits = {"train": train, "valid": valid, "test": torch.arange(len(others), len(labels))}
    images = images.unsqueeze(1)
    if image_size is not None and image_size != images.shape[-1]:
        images = interpolate(images, (image_size,) * 2, mode="bilinear", antialias=True)
    return ImageSet(images, labels, class_names, splits)


def _read_digits(path: Path) -> tuple[Tensor, Tensor]:
    import numpy as np

    try:
        with np.load(path) as file:
            images = torch.from_numpy(file["images"]).float() / 16
            labels = torch.from_numpy(file["labels"]).long()
    except FileNotFoundError:
        raise UserError(f"{path} is not there; a new project has it") from None
    return images, labels


def _read_folder(folder: Path, image_size: int | None, seed: int, grey: bool) -> ImageSet:
    found = find_image_files(folder)
    files = open_image_files(found.paths, image_size, grey)
    if "all" in found.counts:
        splits = split_samples(len(files), seed)
    else:
        parts = torch.split(torch.arange(len(files)), list(found.counts.values()))
        splits = dict(zip(found.counts, parts, strict=True))
    if "valid" not in splits:
        train = splits["train"]
        splits["train"], splits["valid"] = hold_out(train, len(train) // 5, seed)
    return ImageSet(files, torch.tensor(found.labels), found.class_names, splits)
