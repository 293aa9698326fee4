"""
Say what pictures show, by the best checkpoints of a run: each of its models.

    python predict.py digit.png other.jpg   # pictures of one digit each
    python predict.py --sample 5            # five of the test samples
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from tyro.conf import Positional

from data import CLASS_NAMES, make_data, read_image
from model import make_models
from results import restore_all
from scaffold_runtime import UserError, find_run, launch
from scaffold_runtime.settings import Count, read_settings
from train import Settings as TrainSettings


@dataclass(frozen=True)
class Settings:
    images: Positional[tuple[Path, ...]] = ()  # Pictures to look at.
    sample: Count = 0  # Show this many samples of the test data.
    run: str = "first"  # The run whose best checkpoints predict.


def main(settings: Settings) -> None:
    """Print a line for each picture."""
    if not settings.images and not settings.sample:
        raise UserError("name a picture, or ask for test samples with --sample 5")
    folder = find_run(settings.run)
    trained = read_settings(TrainSettings, folder / "config.yaml")
    models = make_models(trained)
    restore_all(folder / "checkpoints", models)

    for path in settings.images:
        print(f"{path}: {describe(models, read_image(path))}")
    if settings.sample:
        images, labels = make_data(trained).test.dataset.tensors
        for image, label in zip(images[: settings.sample], labels.tolist(), strict=False):
            print(f'{describe(models, image)}, Actual: "{CLASS_NAMES[label]}"')


def describe(models: Mapping[str, nn.Module], image: Tensor) -> str:
    """Return what each model takes an image `(channels, height, width)` for, and how surely."""
    return ", ".join(f"{name.capitalize()}: {say(model, image)}" for name, model in models.items())


@torch.no_grad()
def say(model: nn.Module, image: Tensor) -> str:
    """Return what one model says."""
    probabilities = model.eval()(image.unsqueeze(0)).softmax(dim=1)[0]
    sure, predicted = probabilities.max(dim=0)
    return f'"{CLASS_NAMES[predicted]}" ({sure:.1%})'


if __name__ == "__main__":
    launch(main, Settings)
