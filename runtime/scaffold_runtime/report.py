"""One page that shows what came of a run, to be opened without a network."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from scaffold_runtime.figures import plot_confusion_matrix, plot_curves, plot_images
from scaffold_runtime.files import write_whole
from scaffold_runtime.loggers.json_lines import read_json_lines
from scaffold_runtime.run import Run
from scaffold_runtime.settings import plain_settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = Sequence[Any]
Table = Sequence[Row]

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; }
h2 { font-size: 1.1rem; margin: 2.5rem 0 0.5rem; }
p { margin: 0.3rem 0 1rem; opacity: 0.75; }
img { max-width: 100%; background: white; border-radius: 6px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th { text-align: left; }
td, th { padding: 0.15rem 1.5rem 0.15rem 0; border-bottom: 1px solid #8884; }
pre { font-size: 0.85rem; line-height: 1.35; overflow-x: auto; }
.numbers td { font-size: 1.3rem; }
"""


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
    images, labels, probabilities = _predict(model, data, run.device)
    confidence, predicted = probabilities.max(dim=1)
    classes = len(class_names)
    counts = torch.bincount(labels * classes + predicted, minlength=classes**2)
    figures = {
        "confusion_matrix": (
            f"{len(labels)} test samples: the diagonal is right; colours are shares of a row.",
            plot_confusion_matrix(counts.reshape(classes, classes), class_names),
        ),
    }
    wrong = (predicted != labels).nonzero().flatten()
    worst = wrong[confidence[wrong].argsort(descending=True)][:16]
    if len(worst):
        said, is_, sure = predicted.tolist(), labels.tolist(), confidence.tolist()
        titles = [
            f"said {class_names[said[i]]} ({sure[i]:.0%})\nis {class_names[is_[i]]}"
            for i in worst.tolist()
        ]
        figures["mistakes"] = (
            f"The most confident of {len(wrong)} mistakes: what the model said, and what it is.",
            plot_images(list(images[worst]), titles),
        )
    shown = {f"test {name}": f"{value:.4f}" for name, value in numbers.items()}
    return report_run(run, shown, figures)


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
        "While training; values far below the rest, mostly the first ones, are cut off.",
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


def write_report(
    folder: Path,
    title: str,
    subtitle: str,
    numbers: Mapping[str, str],
    figures: Mapping[str, tuple[str, Figure]],
    settings: Mapping[str, Any],
    tables: Mapping[str, tuple[str, Table]] | None = None,
    texts: Mapping[str, tuple[str, str]] | None = None,
) -> Path:
    """
    Write each figure to `figures/`, and one page with everything in it.

    Args:
        folder: The run's.
        title: Of the page.
        subtitle: When and how the run was started, for example.
        numbers: What the run reached, by name.
        figures: A caption and a picture, by the name of its file.
        settings: Of the run.
        tables: A caption and rows of which the first is the heading, by title.
        texts: A caption and lines to be shown as they are, by title.

    Returns:
        The path of the page, `report.html`.

    >>> import tempfile
    >>> numbers, settings = {"test accuracy": "98.9 %"}, {"lr": 0.004}
    >>> write_report(Path(tempfile.mkdtemp()), "Digits", "a first run", numbers, {}, settings).name
    'report.html'
    """
    sections = [_table(numbers.items(), "numbers")]
    for name, (caption, figure) in figures.items():
        picture = _png(figure)
        write_whole(folder / "figures" / f"{name}.png", picture)
        width = round(96 * figure.get_figwidth())  # CSS pixels in an inch.
        source = base64.b64encode(picture).decode()
        image = (
            f'<img width="{width}" alt="{html.escape(caption)}" '
            f'src="data:image/png;base64,{source}">'
        )
        sections.append(_section(name.replace("_", " "), caption, image))
    for title_, (caption, (heading, *rows)) in (tables or {}).items():
        sections.append(_section(title_, caption, _table(rows, heading=heading)))
    for title_, (caption, text) in (texts or {}).items():
        sections.append(_section(title_, caption, f"<pre>{html.escape(text)}</pre>"))
    sections.append(_section("settings", "", _table(settings.items())))
    page = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title>"
        f"<style>{STYLE}</style><h1>{html.escape(title)}</h1>"
        f"<p>{html.escape(subtitle)}</p>{''.join(sections)}</html>"
    )
    path = folder / "report.html"
    write_whole(path, page.encode())
    return path


@torch.no_grad()
def _predict(
    model: nn.Module, data: Iterable[tuple[Tensor, Tensor]], device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Return all images, labels and class probabilities, on the CPU."""
    model.eval()
    batches = [
        (images, labels, model(images.to(device)).softmax(dim=1).cpu()) for images, labels in data
    ]
    images, labels, probabilities = (torch.cat(parts) for parts in zip(*batches, strict=True))
    return images, labels, probabilities


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=144)
    return buffer.getvalue()


def _section(title: str, caption: str, content: str) -> str:
    title = title[:1].upper() + title[1:]
    paragraph = f"<p>{html.escape(caption)}</p>" if caption else ""
    return f"<h2>{html.escape(title)}</h2>{paragraph}{content}"


def _table(rows: Iterable[Row], style: str = "", heading: Row = ()) -> str:
    lines = [_row("th", heading)] if heading else []
    lines += [_row("td", row) for row in rows]
    return f'<table class="{style}">{"".join(lines)}</table>'


def _row(cell: str, values: Row) -> str:
    cells = (f"<{cell}>{html.escape(str(value))}</{cell}>" for value in values)
    return f"<tr>{''.join(cells)}</tr>"
