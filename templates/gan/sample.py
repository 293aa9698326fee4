"""
Draw pictures with the best checkpoint of a run.

    python sample.py                              # a grid of 64, samples.png
    python sample.py --count 100 --seed 1 --output hundred.png
    python sample.py --count 5 --separate --output digits   # digits/0000.png and so on
    python sample.py --interpolate 10 --output between.png  # rows that lead from one to another
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from data import read_images, to_pixels
from model import Shape, make_generator, read_shape, restore_kept
from pictures import draw, write_grid, write_png
from scaffold_runtime import UserError, launch
from scaffold_runtime.run_folder import find_run
from scaffold_runtime.settings import Count, Size, read_settings
from train import Settings as TrainSettings


@dataclass(frozen=True)
class Settings:
    run: str = "first"  # The run whose best checkpoint draws.
    count: Size = 64  # Pictures; of interpolated ones the last row may be shorter.
    seed: Count = 0  # Decides the noise that they are made of.
    interpolate: Count = 0  # Pictures in a row from one noise to another; 0 draws each by itself.
    separate: bool = False  # A file for each picture, in a folder, instead of a grid.
    output: str = "samples.png"  # The file of the grid, or the folder.
    overwrite: bool = False  # Write over what has that name.


def main(settings: Settings) -> None:
    """Write the pictures and say where."""
    output = Path(settings.output)
    check_output(output, settings)
    folder = find_run(settings.run)
    trained = read_settings(TrainSettings, folder / "config.yaml")
    checkpoints = folder / "checkpoints"
    # Those of earlier releases do not say it: there the data have to be looked at.
    shape = read_shape(checkpoints) or Shape(*read_images(trained).shape)
    generator = make_generator(trained, shape)
    restore_kept(checkpoints, generator, shape)

    images = draw(generator, make_noise(settings, trained.noise_size))
    if settings.separate:
        for number, image in enumerate(to_pixels(images)):
            write_png(output / f"{number:04}.png", image)
    else:
        write_grid(output, images, settings.interpolate or math.ceil(math.sqrt(len(images))))
    print(f"{len(images)} pictures: {output}")


def check_output(output: Path, settings: Settings) -> None:
    """
    Refuse what cannot be written, or is there already.

    Raises:
        UserError: The message says what to do.
    """
    if settings.interpolate == 1:
        raise UserError("interpolate must be at least 2: from one noise to another")
    if not settings.separate and output.suffix != ".png":
        raise UserError(f"a grid is a PNG file, not {output}; name it .png, or give --separate")
    if settings.separate and output.suffix:
        raise UserError(f"--separate writes files into a folder, not into {output}; give --output")
    if not output.parent.is_dir():
        raise UserError(f"there is no folder {output.parent}; make it, or give another --output")
    if output.is_dir() != settings.separate and output.exists():
        raise UserError(f"{output} is a {'folder' if output.is_dir() else 'file'}; give --output")
    if output.exists() and not settings.overwrite:
        raise UserError(f"{output} exists; give another --output, or --overwrite")


def make_noise(settings: Settings, noise_size: int) -> Tensor:
    """Return the noise `(N, noise_size)` of the pictures; interpolated, row after row of them."""
    random = torch.Generator().manual_seed(settings.seed)
    if not settings.interpolate:
        return torch.randn(settings.count, noise_size, generator=random)
    rows = math.ceil(settings.count / settings.interpolate)
    start, end = torch.randn(2, rows, noise_size, generator=random)
    shares = torch.linspace(0, 1, settings.interpolate)
    noise = torch.stack([interpolate(start, end, share) for share in shares], dim=1)
    return noise.flatten(0, 1)[: settings.count]


def interpolate(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """
    Go a share of the way from one noise to another, `(N, noise_size)`, along a circle.

    A straight line would lead through noise that is shorter than what the generator was trained
    on. White 2016, https://arxiv.org/abs/1609.04468.
    """
    cosine = F.cosine_similarity(start, end, dim=1).clamp(-1, 1)
    angle = cosine.arccos().unsqueeze(1)
    weights = ((1 - share) * angle).sin(), (share * angle).sin()
    return (weights[0] * start + weights[1] * end) / angle.sin()


if __name__ == "__main__":
    launch(main, Settings)
