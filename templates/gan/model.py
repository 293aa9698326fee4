"""
The two models, and their losses.

A DCGAN (Radford et al. 2016, https://arxiv.org/abs/1511.06434): convolutions with strides instead
of pooling, batch normalisation, no hidden layers that are fully connected. Both models have one
convolution more, at full size: for 8 x 8 pixels there would hardly be any without it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from scaffold_runtime import CheckpointError, UserError, read_checkpoint, restore_best

if TYPE_CHECKING:
    from train import Settings


class Shape(NamedTuple):
    """The shape of an image, which a checkpoint can hold."""

    channels: int
    height: int
    width: int

    def state_dict(self) -> dict[str, list[int]]:
        """Return it as plain numbers."""
        return {"shape": list(self)}

    def load_state_dict(self, state_dict: Mapping[str, list[int]]) -> None:
        """Compare with one that was saved."""
        if list(self) != state_dict["shape"]:
            raise ValueError(f"{state_dict['shape']} in the file and {list(self)} here")


def make_models(
    settings: Settings, shape: Shape, device: torch.device
) -> tuple[nn.Module, nn.Module]:
    """Make the generator and the discriminator of images of a shape, ready to be trained."""
    generator = make_generator(settings, shape).to(device)
    return generator, make_discriminator(settings, shape).to(device)


def make_optimizers(
    settings: Settings, generator: nn.Module, discriminator: nn.Module
) -> tuple[Optimizer, Optimizer]:
    """Make what updates the generator, and what updates the discriminator."""
    betas = (settings.beta1, settings.beta2)
    return (
        Adam(generator.parameters(), settings.lr_g, betas, fused=True),
        Adam(discriminator.parameters(), settings.lr_d, betas, fused=True),
    )


def make_generator(settings: Settings, shape: Shape) -> nn.Module:
    """Make the model that maps noise `(N, noise_size)` to images `(N, *shape)` from -1 to 1."""
    doublings, base = split_size(shape)
    width = settings.width * 2**doublings
    layers: list[nn.Module] = [
        nn.Unflatten(1, (settings.noise_size, 1, 1)),
        nn.ConvTranspose2d(settings.noise_size, width, base, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    ]
    for _ in range(doublings):
        layers += [
            nn.ConvTranspose2d(width, width // 2, kernel_size=4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width // 2),
            nn.ReLU(),
        ]
        width //= 2
    layers += [nn.Conv2d(width, shape[0], kernel_size=3, padding=1), nn.Tanh()]
    return nn.Sequential(*layers).apply(initialise)


def make_discriminator(settings: Settings, shape: Shape) -> nn.Module:
    """
    Make the model that maps images `(N, *shape)` to scores `(N,)`: the larger, the more real.

    It sees real and generated images in batches of their own: in one batch, its statistics would
    mix the two. With a gradient penalty it has no batch normalisation at all: the penalty is on the
    gradient of each score by its own image, and the other images must have no part in that.
    """
    halvings, base = split_size(shape)
    width, has_norm = settings.width, settings.loss != "wgan-gp"
    layers = [nn.Conv2d(shape[0], width, kernel_size=3, padding=1), nn.LeakyReLU(0.2)]
    for _ in range(halvings):
        halve = nn.Conv2d(width, 2 * width, kernel_size=4, stride=2, padding=1, bias=not has_norm)
        norm = [nn.BatchNorm2d(2 * width)] if has_norm else []
        layers += [halve, *norm, nn.LeakyReLU(0.2)]
        width *= 2
    layers += [nn.Conv2d(width, 1, base), nn.Flatten(0)]
    return nn.Sequential(*layers).apply(initialise)


def split_size(shape: Shape) -> tuple[int, int]:
    """
    Return how often an image is halved, and the 4 to 7 pixels that it is high and wide then.

    Raises:
        UserError: It is not square, or of a size for which there are no such numbers.
    """
    _, height, width = shape
    halvings = int(math.log2(height / 4))
    base = height >> max(halvings, 0)
    if height != width or halvings < 1 or base << halvings != height:
        raise UserError(
            f"images of {height} x {width} pixels do not halve down to 4 to 7 pixels; "
            "choose an --image-size of 8, 16, 28, 32 or 64"
        )
    return halvings, base


def initialise(layer: nn.Module) -> None:
    """Draw the first weights as the paper does: from normal distributions of deviation 0.02."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, 0.0, 0.02)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)


# --- Losses: of scores `(N,)`, the larger, the more real ------------------------


def logistic_of_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Return the cross-entropy of Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def logistic_of_generator(fake: Tensor) -> Tensor:
    """
    Return the non-saturating loss of the same paper.

    It raises the probability of being taken for real, instead of lowering that of being found
    out, which has hardly a gradient while the discriminator wins.
    """
    return F.softplus(-fake).mean()


def hinge_of_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Return the hinge loss of Lim and Ye 2017, https://arxiv.org/abs/1705.02894."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def difference(real: Tensor, fake: Tensor) -> Tensor:
    """Return minus an estimate of the Wasserstein distance, if the penalty below is added."""
    return fake.mean() - real.mean()


def minus_score(fake: Tensor) -> Tensor:
    """Return the generator's part of the last two."""
    return -fake.mean()


# By the name of the setting: the discriminator's and the generator's.
LOSSES = {
    "logistic": (logistic_of_discriminator, logistic_of_generator),
    "hinge": (hinge_of_discriminator, minus_score),
    "wgan-gp": (difference, minus_score),
}
# What trains well with each: updates of the discriminator in a step, and the betas of Adam. With
# wgan-gp the betas are the paper's; with its five updates an epoch has few steps of the generator,
# each being of five batches, and two get further in as many epochs.
FITTING = {
    "logistic": (1, 0.5, 0.999),
    "hinge": (1, 0.5, 0.999),
    "wgan-gp": (2, 0.0, 0.9),
}


def gradient_penalty(critic: nn.Module, real: Tensor, fake: Tensor, weight: float = 10.0) -> Tensor:
    """
    Return `weight` times the mean of `(|gradient of the score by the image| - 1)^2`.

    The gradient is taken at a random point of the line from each real image to a generated one.
    Gulrajani et al. 2017, https://arxiv.org/abs/1704.00028.
    """
    share = torch.rand(len(real), 1, 1, 1, device=real.device)
    between = torch.lerp(real, fake, share).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return weight * (gradient.flatten(1).norm(dim=1) - 1).square().mean()


# --- What a best checkpoint keeps -----------------------------------------------


def kept_parts(generator: nn.Module, shape: Shape) -> dict[str, Any]:
    """Return the parts of a best checkpoint: with the shape, no data is needed to draw."""
    return {"generator": generator, "shape": shape}


def restore_kept(checkpoints: Path, generator: nn.Module, shape: Shape) -> Path:
    """
    Load the parts of the best checkpoint; earlier releases kept the generator alone.

    Returns:
        The path of the file.

    Raises:
        NothingSavedError: There is none that can be read.
        CheckpointError: It does not fit.
    """
    try:
        return restore_best(checkpoints, kept_parts(generator, shape))
    except CheckpointError:
        with suppress(CheckpointError):
            return restore_best(checkpoints, {"generator": generator})
        raise


def read_shape(checkpoints: Path) -> Shape | None:
    """Return the shape of a run's images, unless its best checkpoint is of an earlier release."""
    for file in checkpoints.glob("best_*.pt"):  # Any will do: all images of a run are alike.
        with suppress(CheckpointError, KeyError):  # A damaged one is passed over.
            return Shape(*read_checkpoint(file)["parts"]["shape"]["shape"])
    return None
