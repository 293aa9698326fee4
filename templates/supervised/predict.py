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

from data import CLASS_NAMES, make_data, read_image
from model import make_model
from scaffold_runtime import UserError, launch, restore_best
from scaffold_runtime.run_folder import find_run
from scaffold_runtime.settings import Count, read_settings
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
    folder = find_run(settings.run)
    trained = read_settings(TrainSettings, folder / "config.yaml")
    model = make_model(trained)
    restore_best(folder / "checkpoints", {"model": model})

    for path in settings.images:
        print(f"{path}: {describe(model, read_image(path))}")
    if settings.sample:
        images, labels = make_data(trained).test.dataset.tensors
        for image, label in zip(images[: settings.sample], labels.tolist(), strict=False):
            print(f'{describe(model, image)}, Actual: "{CLASS_NAMES[label]}"')


@torch.no_grad()
def describe(model: nn.Module, image: Tensor) -> str:
    """Return what the model takes an image `(channels, height, width)` for, and how surely."""
    probabilities = model.eval()(image.unsqueeze(0)).softmax(dim=1)[0]
    sure, predicted = probabilities.max(dim=0)
    return f'Predicted: "{CLASS_NAMES[predicted]}" ({sure:.1%})'


if __name__ == "__main__":
    launch(main, Settings)
