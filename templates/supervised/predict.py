"""
Say what pictures show, or what rows of a table hold, with the best checkpoint of a run.

    python predict.py digit.png other.jpg   # pictures of one digit each
    python predict.py rows.csv              # rows with the columns that the run was trained on
    python predict.py --sample 5            # five of the test samples

The best checkpoint is enough; only `--sample` reads the data that the run was trained on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from tyro.conf import Positional

from choices import kept_parts
from data import Data, make_data, read_image
from kept import know_data
from model import make_model
from scaffold_runtime import ImageSet, TableSet, UserError, launch, restore_best
from scaffold_runtime.data import read_rows
from scaffold_runtime.run_folder import find_run
from scaffold_runtime.settings import Count, read_settings
from train import Settings as TrainSettings


@dataclass(frozen=True)
class Settings:
    files: Positional[tuple[Path, ...]] = ()  # Pictures to look at, or CSV files.
    sample: Count = 0  # Show this many samples of the test data.
    run: str = "first"  # The run whose best checkpoint predicts.


def main(settings: Settings) -> None:
    """Print a line for each picture or row."""
    if not settings.files and not settings.sample:
        raise UserError("name a picture or a CSV file, or ask for test samples with --sample 5")
    folder = find_run(settings.run)
    trained = read_settings(TrainSettings, folder / "config.yaml")
    checkpoints = folder / "checkpoints"
    data = make_data(trained) if settings.sample else know_data(trained, checkpoints)
    model = make_model(trained, data)
    restore_best(checkpoints, kept_parts(trained, model, data))

    for path in settings.files:
        for name, sample in read_inputs(path, trained, data.samples):
            print(f"{name}: Predicted: {describe(predict(model, sample), data.samples)}")
    test = data.test.dataset if isinstance(data, Data) else ()
    for index in range(min(settings.sample, len(test))):
        sample, target = test[index]
        said = describe(predict(model, sample), data.samples)
        print(f"Predicted: {said}, Actual: {tell(target, data.samples)}")


def read_inputs(
    path: Path, trained: TrainSettings, samples: ImageSet | TableSet
) -> Iterator[tuple[str, Tensor]]:
    """Give what the model gets, each under its name: a picture, or the rows of a table."""
    if isinstance(samples, ImageSet):
        yield str(path), read_image(path, trained, samples.shape)
    else:
        rows = samples.standardise(read_rows(path, samples.columns))
        yield from ((f"{path} row {number}", row) for number, row in enumerate(rows, 1))


@torch.no_grad()
def predict(model: nn.Module, sample: Tensor) -> Tensor:
    """Return the outputs of the model for one sample: scores of classes `(C,)`, or a number."""
    outputs: Tensor = model.eval()(sample.unsqueeze(0))[0]
    return outputs


def describe(outputs: Tensor, samples: ImageSet | TableSet) -> str:
    """Return what the outputs say, and how surely."""
    if not samples.class_names:
        return tell(outputs, samples)
    sure, predicted = outputs.softmax(dim=0).max(dim=0)
    return f"{tell(predicted, samples)} ({sure:.1%})"


def tell(target: Tensor, samples: ImageSet | TableSet) -> str:
    """Return the name of a class, or a number in the units of the file."""
    if isinstance(samples, TableSet) and not samples.class_names:
        return f"{samples.in_units(target).item():.6g}"
    return f'"{samples.class_names[int(target)]}"'


if __name__ == "__main__":
    launch(main, Settings)
