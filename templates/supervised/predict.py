"""
Say what pictures show, with the best checkpoint of a run.

    python predict.py digit.png other.jpg   # pictures of one digit each
    python predict.py --sample 5            # five of the test samples
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from tyro.conf import Positional

from data import CLASS_NAMES, IMAGE_SHAPE, make_data
from model import make_model
from scaffold_runtime import UserError, restore_best
from scaffold_runtime.run_folder import RUNS
from scaffold_runtime.settings import Count, launch, read_settings
from train import Settings as TrainSettings


@dataclass(frozen=True)
class Settings:
    images: Positional[tuple[Path, ...]] = ()  # Pictures to look at.
    sample: Count = 0  # Show this many samples of the test data.
    run: str = "first"  # The run whose best checkpoint predicts.


def main(settings: Settings) -> None:
    """Print a line for each picture."""
    if not settings.images and not settings.sample:
        raise UserError("name a picture, or ask for test samples with --sample 5")
    trained = read_settings(TrainSettings, RUNS / settings.run / "config.yaml")
    model = make_model(trained)
    restore_best(RUNS / settings.run / "checkpoints", {"model": model})

    for path in settings.images:
        print(f"{path}: {describe(model, read_image(path))}")
    if settings.sample:
        images, labels = make_data(trained).test.dataset.tensors
        for image, label in zip(images[: settings.sample], labels.tolist(), strict=False):
            print(f'{describe(model, image)}, Actual: "{CLASS_NAMES[label]}"')


@torch.no_grad()
def describe(model: nn.Module, image: Tensor) -> str:
    """Return what the model takes an image of shape `(1, 8, 8)` for, and how surely."""
    probabilities = model.eval()(image.unsqueeze(0)).softmax(dim=1)[0]
    sure, predicted = probabilities.max(dim=0)
    return f'Predicted: "{CLASS_NAMES[predicted]}" ({sure:.1%})'


def read_image(path: Path) -> Tensor:
    """Return a picture as the data has them: ink is 1, cropped to the ink, 8 x 8 pixels."""
    from matplotlib.image import imread

    try:
        pixels = torch.from_numpy(imread(path).copy()).float()
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path} cannot be read as a picture: {error}") from None
    grey = pixels[..., :3].mean(dim=-1) if pixels.ndim == 3 else pixels
    grey = grey / 255 if grey.max() > 1 else grey
    border = torch.cat([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    ink = 1 - grey if border.mean() > 0.5 else grey  # Dark ink on light paper is turned round.
    if ink.max() - ink.min() < 0.1:
        raise UserError(f"{path} shows nothing: it is of one colour")
    return fit(ink).unsqueeze(0)


def fit(ink: Tensor) -> Tensor:
    """Crop to the ink, keep the proportions, and average down to the size of the data."""
    rows, columns = (ink > 0.5 * ink.max()).nonzero(as_tuple=True)
    cropped = ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    missing = cropped.shape[0] - cropped.shape[1]
    sides = [max(missing, 0) // 2, (max(missing, 0) + 1) // 2]
    ends = [max(-missing, 0) // 2, (max(-missing, 0) + 1) // 2]
    square = nn.functional.pad(cropped, sides + ends)
    return nn.functional.adaptive_avg_pool2d(square.unsqueeze(0), IMAGE_SHAPE[1:])[0]


if __name__ == "__main__":
    launch(main, Settings)
