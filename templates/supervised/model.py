"""The models: each maps inputs `(N, *shape)` to outputs `(N, outputs)`: scores, or a number."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import Tensor, nn

from data import Data
from kept import KnownData
from scaffold_runtime import UserError

if TYPE_CHECKING:
    from train import Settings


def make_model(settings: Settings, data: Data | KnownData) -> nn.Module:
    """Make the model that the settings name, for samples and targets of the data's shapes."""
    models = {"cnn": make_cnn, "mlp": make_mlp}
    models |= {"linear": make_linear, "resnet": make_resnet}
    shape, outputs = data.samples.shape, len(data.samples.class_names) or 1
    smallest = {"cnn": 4, "resnet": 8}.get(settings.model, 1)  # Pixels; each halving takes some.
    if len(shape) == 3 and min(shape[1:]) < smallest:
        size = f"{shape[1]} x {shape[2]}"
        raise UserError(f"--model {settings.model} takes {smallest} pixels or more, not {size}")
    model = models[settings.model](shape, outputs, settings.width, settings.dropout)
    if settings.compile:
        model.compile()
    return model


def make_cnn(shape: tuple[int, ...], outputs: int, width: int, dropout: float) -> nn.Module:
    """Four convolutions, the last two at half the resolution, then the mean over the image."""
    channels = shape[0]
    return nn.Sequential(
        *convolution(channels, width),
        *convolution(width, width),
        nn.MaxPool2d(2),
        *convolution(width, 2 * width),
        *convolution(2 * width, 2 * width),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(2 * width, outputs),
    )


def convolution(channels_in: int, channels_out: int) -> list[nn.Module]:
    """Return a 3 x 3 convolution that keeps the size, normalised and rectified."""
    return [
        nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    ]


def make_mlp(shape: tuple[int, ...], outputs: int, width: int, dropout: float) -> nn.Module:
    """Two hidden layers of 8 x width units."""
    hidden = 8 * width
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(shape), hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, outputs),
    )


def make_linear(shape: tuple[int, ...], outputs: int, width: int, dropout: float) -> nn.Module:
    """One layer, with which every other model is to be compared; it has no width and no dropout."""
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), outputs))


def make_resnet(shape: tuple[int, ...], outputs: int, width: int, dropout: float) -> nn.Module:
    """Three pairs of residual blocks, each at half the resolution and with twice the channels."""
    return nn.Sequential(
        *convolution(shape[0], width),
        ResidualBlock(width, width),
        ResidualBlock(width, width),
        ResidualBlock(width, 2 * width, stride=2),
        ResidualBlock(2 * width, 2 * width),
        ResidualBlock(2 * width, 4 * width, stride=2),
        ResidualBlock(4 * width, 4 * width),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(4 * width, outputs),
    )


class ResidualBlock(nn.Module):
    """
    What two convolutions add to their input.

    He et al., "Deep Residual Learning for Image Recognition" (2016), figure 5 on the left; where
    the shape changes, a 1 x 1 convolution takes the input there.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(),
            nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False),
                nn.BatchNorm2d(channels_out),
            )

    def forward(self, inputs: Tensor) -> Tensor:
        return nn.functional.relu(self.shortcut(inputs) + self.residual(inputs))
