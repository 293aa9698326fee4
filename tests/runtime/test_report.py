"""The report of a run: one page that needs nothing else, and its pictures."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from scaffold_runtime import (
    Run,
    RunSettings,
    State,
    report_classification,
    report_regression,
    write_report,
)
from scaffold_runtime.figures import (
    plot_confusion_matrix,
    plot_curves,
    plot_images,
    plot_predictions,
    plot_residuals,
)

PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Settings(RunSettings):
    run: str = "mine"
    resume: bool = True
    seed: int = 3


@pytest.mark.parametrize(
    ("wrong", "figures"),
    [(2, ["confusion_matrix", "curves", "mistakes"]), (0, ["confusion_matrix", "curves"])],
)
def test_a_classifiers_report_is_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: int, figures: list[str]
) -> None:
    """Its pictures lie beside it and in it, with the numbers and the settings of the run."""
    run, page = report(tmp_path, wrong)

    assert sorted(path.stem for path in (tmp_path / "figures").iterdir()) == figures
    pictures = [(tmp_path / "figures" / f"{name}.png").read_bytes() for name in figures]
    assert all(picture.startswith(PNG) for picture in pictures)
    embedded = [base64.b64decode(source.partition(",")[2]) for source in page.sources]
    assert sorted(embedded) == sorted(pictures)
    assert {"Run mine", run.header, "test accuracy", "0.5000", "seed", "3"} <= set(page.texts)
    assert "resume" not in page.texts
    assert capsys.readouterr().out == f"report: {tmp_path / 'report.html'}\n"


def test_the_page_refers_to_nothing_outside(tmp_path: Path) -> None:
    """No address and no file: it can be mailed, and opened without a network."""
    _, page = report(tmp_path, wrong=2)
    text = re.sub(r'src="data:image/png;base64,[^"]*"', "", (tmp_path / "report.html").read_text())

    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert not re.search(r"https?:|file:|//|href|src=|url\(|@import|<script", text)


def test_the_mistakes_are_the_most_confident_ones(tmp_path: Path) -> None:
    """The caption counts all of them."""
    _, page = report(tmp_path, wrong=2)

    assert any(text.startswith("The most confident of 2 mistakes") for text in page.texts)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    texts=st.lists(
        st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1), min_size=7, max_size=7
    )
)
def test_every_text_is_shown_as_it_is(tmp_path: Path, texts: list[str]) -> None:
    """Whatever is in titles, numbers, captions and settings is text, and adds no element."""
    texts = [f"{text}<b>&amp;\"'" for text in texts]
    title, subtitle, name, number, caption, setting, value = texts
    figure = plot_images([torch.zeros(2, 2)], [""])
    write_report(
        tmp_path, title, subtitle, {name: number}, {"f": (caption, figure)}, {setting: value}
    )
    page = Page(tmp_path / "report.html")

    shown = {"".join(text.split()) for text in page.texts}
    assert {"".join(text.split()) for text in texts} <= shown
    assert "b" not in page.elements
    assert page.alternatives == [caption]


def test_precision_and_recall_of_each_class_are_listed(tmp_path: Path) -> None:
    """Of two classes that are taken for each other, and two that are right."""
    _, page = report(tmp_path, wrong=2)
    start = page.texts.index("class")

    assert page.texts[start : start + 20] == [
        *("class", "samples", "precision", "recall"),
        *("zero", "1", "0.0%", "0.0%"),
        *("one", "1", "0.0%", "0.0%"),
        *("two", "1", "100.0%", "100.0%"),
        *("three", "1", "100.0%", "100.0%"),
    ]


def test_a_regressions_report_is_whole(tmp_path: Path) -> None:
    """Its pictures show predictions and residuals in units, on as many batches as are asked for."""
    run = Run(Settings(limit_valid_batches=1), tmp_path, torch.device("cpu"))
    run.logger.log("valid", State(iteration=1), {"loss": 0.5})
    batch = torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0], [3.0]])

    path = report_regression(run, nn.Identity(), [batch, batch], {"r2": 0.5}, lambda y: 10 * y)

    assert {"test r2", "0.5000", "2 test samples: on the line, predictions are right."} <= set(
        Page(path).texts
    )
    assert sorted(each.stem for each in (tmp_path / "figures").iterdir()) == [
        "curves",
        "predictions",
        "residuals",
    ]


# --- Pictures -------------------------------------------------------------


def test_curves_have_a_panel_for_each_metric_and_a_line_for_each_split() -> None:
    """With the iterations at which each was logged; what was not finite is left out."""
    lines = [
        {"split": "train", "epoch": 1, "iteration": 5, "loss": 1.0},
        {"split": "train", "epoch": 1, "iteration": 10, "loss": None},
        {"split": "valid", "epoch": 1, "iteration": 10, "loss": 0.5, "accuracy": 0.9},
        {"split": "train", "epoch": 2, "iteration": 15, "loss": 0.25},
    ]
    panels = {axes.get_title(): axes for axes in plot_curves(lines).axes}
    drawn = {line.get_label(): line.get_xydata().tolist() for line in panels["loss"].lines}

    assert list(panels) == ["loss", "accuracy"]
    assert drawn == {"train": [[5, 1.0], [15, 0.25]], "valid": [[10, 0.5]]}


@pytest.mark.parametrize(("least", "scale"), [(0.1, "log"), (0.0, "linear"), (-0.5, "linear")])
def test_a_loss_that_is_not_positive_is_drawn_on_a_linear_scale(least: float, scale: str) -> None:
    """All its values are seen, as of a Wasserstein critic; others have a logarithmic scale."""
    lines = [{"split": "train", "iteration": 5 * i, "loss": least + i} for i in range(3)]

    (axes,) = plot_curves(lines).axes

    assert axes.get_yscale() == scale
    assert axes.get_ylim()[0] <= least


def test_predictions_are_drawn_against_what_is_true() -> None:
    """Predictions stand over the actual numbers, residuals over the predictions."""
    predicted, actual = torch.tensor([1.0, 2.0]), torch.tensor([1.5, 4.0])
    (axes,) = plot_predictions(predicted, actual).axes
    cloud, _ = plot_residuals(predicted, actual - predicted).axes

    assert axes.collections[0].get_offsets().tolist() == [[1.5, 1.0], [4.0, 2.0]]
    assert cloud.collections[0].get_offsets().tolist() == [[1.0, 0.5], [2.0, 2.0]]
    assert (axes.get_xlabel(), cloud.get_ylabel()) == ("actual", "actual - predicted")


def test_the_confusion_matrix_writes_its_counts() -> None:
    """Rows are actual classes; empty cells stay empty, also a class without samples."""
    figure = plot_confusion_matrix(torch.tensor([[5, 1, 0], [0, 0, 0], [2, 0, 7]]), ["a", "b", "c"])
    (axes,) = figure.axes
    written = {(int(text._y), int(text._x)): text.get_text() for text in axes.texts}

    assert written == {(0, 0): "5", (0, 1): "1", (2, 0): "2", (2, 2): "7"}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "actual")


@pytest.mark.parametrize("shape", [(4, 5), (1, 4, 5), (3, 4, 5)])
@pytest.mark.parametrize("count", [1, 8, 11])
def test_images_of_every_form_are_drawn_under_their_titles(
    shape: Sequence[int], count: int
) -> None:
    """Grey or in colour, in rows of eight, with nothing in the places left over."""
    titles = [f"number {number}" for number in range(count)]
    figure = plot_images([torch.rand(*shape) for _ in range(count)], titles)
    drawn = [axes.get_title() for axes in figure.axes if axes.images]

    assert drawn == titles
    assert all(not axes.axison for axes in figure.axes if not axes.images)


# --- Helpers --------------------------------------------------------------


class Page(HTMLParser):
    """The elements, texts and pictures of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.texts: list[str] = []
        self.sources: list[str] = []
        self.alternatives: list[str] = []
        self._new = True
        self.feed(path.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._new = True
        self.elements.append(tag)
        if tag == "img":
            given = dict(attributes)
            self.sources.append(given["src"] or "")
            self.alternatives.append(given["alt"] or "")

    def handle_data(self, data: str) -> None:
        if self._new:
            self.texts.append("")
        self.texts[-1] += data
        self._new = False


def report(folder: Path, wrong: int) -> tuple[Run, Page]:
    """Write the report of a model that says the brightest pixel, wrongly for some images."""
    run = Run(Settings(), folder, torch.device("cpu"))
    for iteration in (1, 2):
        run.logger.log("train", State(iteration=iteration), {"loss": 1 / iteration})
    images = torch.eye(4).reshape(4, 1, 2, 2)
    labels = torch.arange(4)
    labels[:wrong] = labels[:wrong].flip(0)
    data: list[tuple[Tensor, Tensor]] = [(images[:3], labels[:3]), (images[3:], labels[3:])]
    classes: list[Any] = ["zero", "one", "two", "three"]
    path = report_classification(run, nn.Flatten(), data, classes, {"accuracy": 0.5})
    return run, Page(path)
