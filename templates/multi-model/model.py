"""The models: each maps images `(N, channels, height, width)` to scores `(N, classes)`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import nn

from data import CLASS_NAMES, IMAGE_SHAPE

if TYPE_CHECKING:
    from train import Settings


def make_models(settings: Settings) -> dict[str, nn.Module]:
    """
    Make the student and, unless it learns alone, whom it learns from.

    The student is made first: with the same seed it has the same first weights in every mode.
    """
    models = {"student": make_student(settings.student_width)}
    if settings.mode == "mutual":  # Two peers, equal but for their first weights.
        models["teacher"] = make_student(settings.student_width)
    elif settings.mode != "alone":
        models["teacher"] = make_teacher(settings.teacher_width)
    return models


def make_student(width: int) -> nn.Module:
    """Two hidden layers of `width` units."""
    return nn.Sequential(
        nn.Flatten(),
        *hidden_layer(math.prod(IMAGE_SHAPE), width),
        *hidden_layer(width, width),
        nn.Linear(width, len(CLASS_NAMES)),
    )


def hidden_layer(units_in: int, units_out: int) -> list[nn.Module]:
    """Return a layer that is normalised and rectified."""
    return [nn.Linear(units_in, units_out, bias=False), nn.BatchNorm1d(units_out), nn.ReLU()]


def make_teacher(width: int) -> nn.Module:
    """Four convolutions, the last two at half the resolution, then the mean over the image."""
    return nn.Sequential(
        *convolution(IMAGE_SHAPE[0], width),
        *convolution(width, width),
        nn.MaxPool2d(2),
        *convolution(width, 2 * width),
        *convolution(2 * width, 2 * width),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(2 * width, len(CLASS_NAMES)),
    )


def convolution(channels_in: int, channels_out: int) -> list[nn.Module]:
    """Return a 3 x 3 convolution that keeps the size, normalised and rectified."""
    return [
        nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    ]
