"""What came of a run, on one page: of any, of a classifier, of a regression."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from scaffold_runtime.figures import (
    plot_confusion_matrix,
    plot_curves,
    plot_images,
    plot_predictions,
    plot_residuals,
)
from scaffold_runtime.loggers.json_lines import read_json_lines
from scaffold_runtime.page import Table, write_report
from scaffold_runtime.run import Run
from scaffold_runtime.settings import plain_settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Batches = Iterable[tuple[Tensor, Tensor]]
SHOWN_MISTAKES = 16


def report_classification(
    run: Run[Any],
    model: nn.Module,
    data: Iterable[tuple[Tensor, Tensor]],
    class_names: Sequence[str],
    numbers: Mapping[str, float],
) -> Path:
    """
    Write the report of a classifier, and say where: its curves, confusions and worst mistakes.

    Args:
        run: Its `metrics.jsonl` has the curves.
        model: Maps images to scores `(B, C)`.
        data: The test data: batches of images `(B, channels, H, W)` with values from 0 to 1, and
            of labels `(B,)`.
        class_names: The C names.
        numbers: What the best checkpoint reached on these, by name.

    Returns:
        The path of the page.

    >>> from scaffold_runtime import RunSettings, start_run
    >>> from scaffold_runtime import State
    >>> run = start_run(RunSettings(fast_dev_run=True, device="cpu"))  # doctest: +ELLIPSIS
    20...
    >>> run.logger.log("valid", State(), {"loss": 0.5})
    >>> model, images = nn.Flatten(), torch.eye(4).reshape(4, 1, 2, 2)
    >>> data = [(images, torch.tensor([0, 1, 2, 0]))]
    >>> report_classification(run, model, data, ["a", "b", "c", "d"], {"accuracy": 0.75}).name
    'report.html'
    """
    worst: list[_Mistake] = []
    classes, wrong = len(class_names), 0
    counts = torch.zeros(classes, classes, dtype=torch.long)
    for inputs, labels, scores in _predict(run, model, data):
        mistakes = _mistakes(inputs, labels, scores.softmax(dim=1))
        wrong += len(mistakes)
        worst = sorted(worst + mistakes, key=lambda each: -each.confidence)[:SHOWN_MISTAKES]
        pairs = torch.bincount(labels * classes + scores.argmax(dim=1), minlength=classes**2)
        counts += pairs.reshape(classes, classes)
    figures = {
        "confusion_matrix": (
            f"{counts.sum()} test samples: the diagonal is right; colours are shares of a row.",
            plot_confusion_matrix(counts, class_names),
        ),
    }
    if worst and worst[0].input.ndim > 1:
        figures["mistakes"] = (
            f"The most confident of {wrong} mistakes: what the model said, and what it is.",
            plot_images([each.input for each in worst], [each.say(class_names) for each in worst]),
        )
    tables = {
        "classes": (
            "Precision: of what was taken for a class, the share that is of it. "
            "Recall: of what is of a class, the share that was taken for it.",
            _precision_and_recall(counts, class_names),
        )
    }
    return report_run(run, _of_test(numbers), figures, tables)


def report_regression(
    run: Run[Any],
    model: nn.Module,
    data: Batches,
    numbers: Mapping[str, float],
    in_units: Callable[[Tensor], Tensor] = lambda values: values,
) -> Path:
    """
    Write the report of a regression, and say where: its curves, predictions and residuals.

    Args:
        run: Its `metrics.jsonl` has the curves.
        model: Maps inputs to numbers `(B, 1)`.
        data: The test data: batches of inputs, and of targets `(B, 1)`.
        numbers: What the best checkpoint reached on these, by name.
        in_units: Makes numbers to show of predictions and of targets.

    Returns:
        The path of the page.
    """
    pairs = [(in_units(said), in_units(is_)) for _, is_, said in _predict(run, model, data)]
    predicted, actual = (torch.cat(parts).flatten() for parts in zip(*pairs, strict=True))
    figures = {
        "predictions": (
            f"{len(actual)} test samples: on the line, predictions are right.",
            plot_predictions(predicted, actual),
        ),
        "residuals": (
            "By how much the truth is above the prediction; best is a cloud without a shape.",
            plot_residuals(predicted, actual - predicted),
        ),
    }
    return report_run(run, _of_test(numbers), figures)


def report_run(
    run: Run[Any],
    numbers: Mapping[str, str],
    figures: Mapping[str, tuple[str, Figure]],
    tables: Mapping[str, tuple[str, Table]] | None = None,
    texts: Mapping[str, tuple[str, str]] | None = None,
) -> Path:
    """
    Write the report of a run, and say where: its numbers, its curves and what else there is.

    Args:
        run: Its `metrics.jsonl` has the curves.
        numbers: What the run reached, by name.
        figures: A caption and a picture, by the name of its file.
        tables: A caption and rows of which the first is the heading, by title.
        texts: A caption and lines to be shown as they are, by title.

    Returns:
        The path of the page.
    """
    curves = (
        "While training; where the first tenth is far off the rest, it is cut off.",
        plot_curves(read_json_lines(run.logger.path)),
    )
    path = write_report(
        run.folder,
        f"Run {run.name}",
        run.header,
        numbers,
        {"curves": curves, **figures},
        plain_settings(run.settings),
        tables,
        texts,
    )
    if not run.is_trial:
        run.say(f"report: {path}")
    return path


@torch.no_grad()
def _predict(
    run: Run[Any], model: nn.Module, data: Batches
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Give inputs, targets and outputs of each batch, on the CPU."""
    model.eval()
    for inputs, targets in islice(data, run.valid_length):
        yield inputs, targets, model(inputs.to(run.device)).float().cpu()


class _Mistake(NamedTuple):
    confidence: float
    said: int
    is_: int
    input: Tensor

    def say(self, class_names: Sequence[str]) -> str:
        said, is_ = class_names[self.said], class_names[self.is_]
        return f"said {said} ({self.confidence:.0%})\nis {is_}"


def _mistakes(inputs: Tensor, labels: Tensor, probabilities: Tensor) -> list[_Mistake]:
    confidence, predicted = probabilities.max(dim=1)
    wrong = (predicted != labels).nonzero().flatten().tolist()
    return [
        _Mistake(float(confidence[i]), int(predicted[i]), int(labels[i]), inputs[i]) for i in wrong
    ]


def _precision_and_recall(counts: Tensor, class_names: Sequence[str]) -> Table:
    """Return rows for a table; `counts` has actual classes in its rows."""
    right, actual, predicted = counts.diagonal(), counts.sum(dim=1), counts.sum(dim=0)
    rows: list[Sequence[str]] = [("class", "samples", "precision", "recall")]
    for label, name in enumerate(class_names):
        shares = (_share(right[label], of[label]) for of in (predicted, actual))
        rows.append((name, str(int(actual[label])), *shares))
    return rows


def _share(part: Tensor, whole: Tensor) -> str:
    return f"{float(part / whole):.1%}" if whole > 0 else "-"


def _of_test(numbers: Mapping[str, float]) -> dict[str, str]:
    return {f"test {name}": f"{value:.4f}" for name, value in numbers.items()}
