"""
The data: handwritten digits, of which the student knows few labels and the teacher all.

For data of your own, change `CLASS_NAMES`, `IMAGE_SHAPE`, `read_images` and `read_image`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from scaffold_runtime import (
    ImageSet,
    InMemoryDataset,
    Loader,
    Streams,
    UserError,
    derive_seed,
    read_image_set,
)
from scaffold_runtime.data import read_drawing, shift_at_random

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
    Split the samples by the seed; of the training split, the first few are labelled.

    The unlabelled stream has the whole training split, and a pass over it is an epoch; the
    labelled stream begins again beside it whenever it ends.
    """
    digits = read_images(settings.seed)
    images, labels = digits.images, digits.labels
    if digits.shape != IMAGE_SHAPE or digits.class_names != CLASS_NAMES:
        found = f"{digits.shape} and {len(digits.class_names)} classes"
        raise UserError(f"the images are {found}, but data.py says {IMAGE_SHAPE}, {CLASS_NAMES}")
    train = digits.splits["train"]
    if settings.labels > len(train):
        raise UserError(f"labels is {settings.labels}, but there are {len(train)} training images")
    if settings.mode == "frozen" and settings.limit_train_batches:
        raise UserError(
            "--limit-train-batches cuts the teacher's epochs of --mode frozen, and the student "
            "would see other batches than in other modes; give fewer epochs instead"
        )
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
            # Batch normalisation needs two images; a last batch of one is left out.
            drop_last=len(labels) % batch_size == 1 and len(labels) > 1,
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
    return read_image_set("digits", Path(__file__).parent / "data", seed=seed)


def read_image(path: Path) -> Tensor:
    """Return a picture, for predict.py, as the data has them: ink is 1, cropped, 8 x 8 pixels."""
    return read_drawing(path, IMAGE_SHAPE[-1])
