"""
The data: images of a set that the settings name, split into train, validation and test.

Everything in this project takes images with values from -1 to 1, as the generator makes them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from model import FITTING, Shape, split_size
from scaffold_runtime import (
    ImageSet,
    InMemoryDataset,
    Loader,
    UserError,
    cache_folder,
    read_image_set,
)
from scaffold_runtime.settings import refuse_unused

if TYPE_CHECKING:
    from train import Settings

MEASURED = 2_000  # Images of a split, at most, that generated ones are compared with.
# Settings that have no effect with other data sets.
ONLY_WITH = {
    "path": ("dataset", ["image-folder"]),
    "cache": ("dataset", ["fashion-mnist", "mnist"]),
}


class Data(NamedTuple):
    """One loader for each split, whose batches are (images, labels); and what they show."""

    train: Loader
    valid: Loader
    test: Loader
    shape: Shape  # Channels, height and width of an image.
    class_names: list[str]
    fingerprint: str  # Of labels, splits and, of a folder, names of files.


def make_data(settings: Settings) -> Data:
    """Read the images; the labels are for the classifier in quality.py alone."""
    if not (settings.resume or settings.evaluate):  # What goes on keeps its settings.
        refuse_unused(settings, ONLY_WITH)
    settings = fill_in(settings)
    images = read_images(settings)
    shape = Shape(*images.shape)
    split_size(shape)  # Of other sizes there is no model.
    for split in ("valid", "test"):
        chosen = images.splits[split]
        order = torch.randperm(
            len(chosen), generator=torch.Generator().manual_seed(settings.data_seed)
        )
        images.splits[split] = chosen[order[:MEASURED]]
    train = make_dataset(images, "train")
    return Data(
        train=Loader(
            train,
            # Real images for each update of the discriminator in a step.
            settings.batch_size * settings.critic_steps,
            shuffle=True,
            seed=settings.seed,
            num_workers=settings.num_workers,
            # A small last batch would make for bad batch statistics.
            drop_last=len(train) >= settings.batch_size * settings.critic_steps,
        ),
        valid=Loader(make_dataset(images, "valid"), batch_size=512),
        test=Loader(make_dataset(images, "test"), batch_size=512),
        shape=shape,
        class_names=images.class_names,
        fingerprint=images.fingerprint.sha256,
    )


def fill_in(settings: Settings) -> Settings:
    """Return the settings with what the loss asks for, where they leave it to that."""
    critic_steps, beta1, beta2 = FITTING[settings.loss]
    return replace(
        settings,
        critic_steps=settings.critic_steps or critic_steps,
        beta1=beta1 if settings.beta1 < 0 else settings.beta1,
        beta2=beta2 if settings.beta2 < 0 else settings.beta2,
    )


def read_images(settings: Settings) -> ImageSet:
    """Read the set of images that the settings name."""
    if settings.dataset == "image-folder" and not settings.path:
        raise UserError("--dataset image-folder needs its folder: --path FOLDER")
    folders = {"digits": Path(__file__).parent / "data", "image-folder": Path(settings.path)}
    folder = folders.get(settings.dataset, cache_folder(settings.cache))
    return read_image_set(settings.dataset, folder, settings.image_size or None, settings.data_seed)


def make_dataset(images: ImageSet, split: str) -> InMemoryDataset:
    """Return one split of the set."""
    dataset = images.dataset(split, transform=from_pixels)
    if len(dataset) < 2:
        raise UserError(f"the {split} split has {len(dataset)} images, and must have 2 or more")
    pixels, labels = dataset.tensors
    if isinstance(pixels, Tensor):  # In memory: mapped once, instead of batch by batch.
        return InMemoryDataset(from_pixels(pixels), labels)
    return dataset


def from_pixels(images: Tensor) -> Tensor:
    """Map values from 0 to 1 to values from -1 to 1."""
    return 2 * images - 1


def to_pixels(images: Tensor) -> Tensor:
    """Map values from -1 to 1 to values from 0 to 1."""
    return (images + 1) / 2
