"""Pictures of what is generated: tight grids of images, as PNG files and for the report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data import Data, to_pixels
from model import make_generator
from quality import Classifier, make_evaluator, measure_real_images
from scaffold_runtime import EMA, Engine, Run, report_run
from scaffold_runtime.checkpoints.saving import survive_disk_errors
from scaffold_runtime.data.random_scope import random_scope

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SMALLEST = 48  # Pixels that an image in a grid is high at least; smaller ones are enlarged.
COLUMNS = 8  # And rows, of the grids that are written each epoch.
LINE, GREY = 3, 0.45  # Pixels between images, and of what grey they are.


def write_samples(trainer: Engine, run: Run[Any], ema: EMA) -> None:
    """Write a grid of what the averaged generator makes of noise that is always the same."""
    path = run.folder / "samples" / f"epoch_{trainer.state.epoch:04}.png"
    images = generate(ema.ema_model, run.settings.noise_size, COLUMNS**2, seed=1)
    with survive_disk_errors(run.settings.on_save_error):
        write_grid(path, images, COLUMNS)


def report_generator(
    run: Run[Any],
    generator: nn.Module,
    classifier: Classifier,
    data: Data,
    reached: Mapping[str, Any],
) -> Path:
    """Write the report: how good the best images are, what they are, and how they came about."""
    with random_scope(run.settings.seed):
        untrained = make_generator(run.settings, data.shape).to(run.device)
    evaluator = make_evaluator(run, data, untrained, classifier)
    before = run.evaluate(evaluator, data.test)["frechet"]
    real, accuracy = measure_real_images(run, data, classifier)
    numbers = {
        "Frechet distance from the test data": f"{reached['frechet']:.3f}",
        "the same between two halves of real data": f"{real:.3f}",
        "the same of an untrained generator": f"{before:.3f}",
        "largest gap between shares of a class": f"{reached['share_gap']:.1%}",
    }
    images = generate(generator, run.settings.noise_size, count=96, seed=2)
    figures = {
        "samples": ("Of the best checkpoint, not chosen by hand.", plot_grid(images, columns=16)),
        "course": (
            "What the same noise became: each row is after as many epochs as it says.",
            plot_course(run.folder / "samples"),
        ),
    }
    rows = [("class", "test data", "generated")]
    shares = (reached["real_shares"], reached["generated_shares"])
    rows += [
        (name, f"{real:.1%}", f"{generated:.1%}")
        for name, real, generated in zip(data.class_names, *shares, strict=True)
    ]
    caption = f"As the classifier sees them, which is right for {accuracy:.1%} of the real images."
    tables = {"shares of the classes": (caption, rows)}
    return report_run(run, numbers, figures, tables)


def generate(generator: nn.Module, noise_size: int, count: int, seed: int) -> Tensor:
    """Return images `(count, C, H, W)` on the CPU, of noise that the seed decides."""
    noise = torch.randn(count, noise_size, generator=torch.Generator().manual_seed(seed))
    return draw(generator, noise)


@torch.no_grad()
def draw(generator: nn.Module, noise: Tensor) -> Tensor:
    """Return the images of noise `(N, noise_size)`, on the CPU."""
    device = next(generator.parameters()).device
    return torch.cat([generator.eval()(each.to(device)).cpu() for each in noise.split(512)])


def write_grid(path: Path, images: Tensor, columns: int) -> None:
    """Write images `(N, C, H, W)` with values from -1 to 1 side by side into a PNG file."""
    write_png(path, make_grid(images, columns))


def make_grid(images: Tensor, columns: int) -> Tensor:
    """Return one image `(C, height, width)` from 0 to 1, with a line around each of `images`."""
    scale = -(-SMALLEST // images.shape[-1])
    tiles = to_pixels(images.float().cpu()).clamp(0, 1)
    tiles = tiles.repeat_interleave(scale, dim=-1).repeat_interleave(scale, dim=-2)
    tiles = F.pad(tiles, [0, LINE, 0, LINE], value=GREY)
    missing = -len(tiles) % columns
    tiles = torch.cat([tiles, tiles.new_full((missing, *tiles.shape[1:]), GREY)])
    rows = [torch.cat(list(row), dim=-1) for row in tiles.split(columns)]
    return F.pad(torch.cat(rows, dim=-2), [LINE, 0, LINE, 0], value=GREY)


def write_png(path: Path, image: Tensor) -> None:
    """
    Write an image `(C, H, W)` with values from 0 to 1, whole or not at all.

    Nothing waits for the disk, as it does for a checkpoint: a picture can be drawn again.

    Raises:
        OSError: It could not be written; `filename` is the path.
    """
    from PIL import Image

    array = image.mul(255).round().byte().movedim(0, -1).squeeze(-1).numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    try:
        Image.fromarray(array).save(temporary, "PNG")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def plot_grid(images: Tensor, columns: int, width: float = 6.0) -> Figure:
    """Plot a grid, `width` inches wide."""
    from matplotlib.figure import Figure

    grid = make_grid(images, columns).movedim(0, -1).squeeze(-1).numpy()
    figure = Figure(figsize=(width, width * grid.shape[0] / grid.shape[1]))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(grid, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.axis("off")
    return figure


def plot_course(samples: Path, count: int = 8) -> Figure:
    """Plot the first row of some of the grids `epoch_0001.png` and so on, one below the other."""
    from matplotlib.figure import Figure
    from matplotlib.image import imread

    files = sorted(samples.glob("epoch_*.png"))
    # Early epochs change more: the steps between those that are shown grow.
    steps = torch.linspace(0, 1, count).square() * (len(files) - 1)
    chosen = [files[index] for index in dict.fromkeys(steps.round().long().tolist())]
    figure = Figure(figsize=(6.4, 0.75 * len(chosen)), layout="constrained")
    for axes, file in zip(figure.subplots(len(chosen), squeeze=False)[:, 0], chosen, strict=True):
        grid = imread(file)
        row = (grid.shape[1] - LINE) // COLUMNS  # An image is as high as wide.
        axes.imshow(grid[: row + LINE], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        axes.set_ylabel(file.stem.removeprefix("epoch_").lstrip("0") or "0", rotation=0, ha="right")
        axes.spines[:].set_visible(False)
    return figure
