"""The models: each maps images `(N, channels, height, width)` to scores `(N, classes)`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import nn

from data import CLASS_NAMES, IMAGE_SHAPE

if TYPE_CHECKING:
    from train import Settings


def make_model(settings: Settings) -> nn.Module:
    """Make the model that the settings name."""
    models = {"cnn": make_cnn, "mlp": make_mlp}
    return models[settings.model](settings.width, settings.dropout)


def make_cnn(width: int, dropout: float) -> nn.Module:
    """Three convolutions, the last two at half the resolution, then the mean over the image."""
    channels = IMAGE_SHAPE[0]
    return nn.Sequential(
        *convolution(channels, width),
        *convolution(width, width),
        nn.MaxPool2d(2),
        *convolution(width, 2 * width),
        *convolution(2 * width, 2 * width),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(2 * width, len(CLASS_NAMES)),
    )


def convolution(channels_in: int, channels_out: int) -> list[nn.Module]:
    """Return a 3 x 3 convolution that keeps the size, normalised and rectified."""
    return [
        nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    ]


def make_mlp(width: int, dropout: float) -> nn.Module:
    """Two hidden layers of 8 x width units."""
    hidden = 8 * width
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(IMAGE_SHAPE), hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, len(CLASS_NAMES)),
    )
