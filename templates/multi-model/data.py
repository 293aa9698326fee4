"""
The data: handwritten digits, of which the student knows few labels and the teacher all.

For data of your own, change `CLASS_NAMES`, `IMAGE_SHAPE` and `read_images`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from scaffold_runtime import ImageSet, InMemoryDataset, Loader, Streams, UserError, derive_seed
from scaffold_runtime import read_image_set as read_set

if TYPE_CHECKING:
    from train import Settings

CLASS_NAMES = [str(digit) for digit in range(10)]
IMAGE_SHAPE = (1, 8, 8)  # Channels, height, width.
UNKNOWN = -1  # In the place of a label that nobody is told.


class Data(NamedTuple):
    """
    A batch of `train` is {"labelled": (images, labels), "unlabelled": (images, labels)}.

    The labels in "unlabelled" are for a teacher alone; without one they are UNKNOWN. A
    batch of the others is (images, labels).
    """

    train: Streams
    valid: Loader
    test: Loader


def make_data(settings: Settings) -> Data:
    """
    Split the samples by the seed, and the first of the training split off as labelled.

    The unlabelled stream has the whole training split, an epoch is a pass over it, and
    the labelled stream goes round beside it.
    """
    digits = read_images(settings.seed)
    images, labels = digits.images, digits.labels
    if digits.shape != IMAGE_SHAPE or digits.class_names != CLASS_NAMES:
        found = f"{digits.shape} and {len(digits.class_names)} classes"
        raise UserError(f"the images are {found}, but data.py says {IMAGE_SHAPE}, {CLASS_NAMES}")
    train = digits.splits["train"]
    if settings.labels > len(train):
        raise UserError(f"labels is {settings.labels}, but there are {len(train)} training images")
    few = train[: settings.labels]
    with_teacher = settings.mode in ("together", "frozen")
    for_teacher = labels[train] if with_teacher else torch.full_like(train, UNKNOWN)

    def make_stream(name: str, images: Tensor, labels: Tensor, batch_size: int) -> Loader:
        return Loader(
            InMemoryDataset(images, labels, transform=augment),
            batch_size,
            shuffle=True,
            seed=derive_seed(settings.seed, name),  # Or both would shift their images alike.
            num_workers=settings.num_workers,
            persistent_workers=settings.num_workers > 0,
        )

    def augment(batch: Tensor) -> Tensor:
        return shift_at_random(batch, settings.max_shift)

    streams = {
        "labelled": make_stream("labelled", images[few], labels[few], settings.labelled_batch_size),
        "unlabelled": make_stream("unlabelled", images[train], for_teacher, settings.batch_size),
    }
    # The student sees its batches in the same order in every mode, so with a teacher that
    # learns before it, the teacher's epochs count from below 0.
    first_epoch = -settings.teacher_epochs if settings.mode == "frozen" else 0
    return Data(
        train=Streams(streams, epoch_of="unlabelled", first_epoch=first_epoch),
        valid=Loader(digits.dataset("valid"), batch_size=512),
        test=Loader(digits.dataset("test"), batch_size=512),
    )


def read_images(seed: int) -> ImageSet:
    """Return the images, with values from 0 to 1, their labels, and the splits by the seed."""
    return read_set("digits", Path(__file__).parent / "data", seed=seed)


def shift_at_random(images: Tensor, most: int) -> Tensor:
    """Move each image by up to `most` pixels each way; what comes in at the edges is 0."""
    count, _, height, width = images.shape
    padded = nn.functional.pad(images, [most] * 4)
    down, right = torch.randint(0, 2 * most + 1, (2, count, 1))
    rows = down + torch.arange(height)
    columns = right + torch.arange(width)
    samples = torch.arange(count)[:, None, None]
    return padded[samples, :, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)
