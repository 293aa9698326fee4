"""Pictures of a run, drawn with matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = {"train": "#8a94a6", "valid": "#2563eb", "test": "#d97706"}
WRITTEN_CLASSES = 30  # Above, the counts in a confusion matrix could not be read.


def plot_curves(lines: Sequence[Mapping[str, Any]]) -> Figure:
    """Plot each metric of a `metrics.jsonl` over the iterations, one curve for each split."""
    from matplotlib.figure import Figure

    names = _metric_names(lines)
    rows = -(-len(names) // 3) or 1
    columns = -(-len(names) // rows)
    figure = Figure(figsize=(5.2 * columns, 3.6 * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in panels[len(names) :]:
        axes.remove()
    for axes, name in zip(panels, names, strict=False):
        logged = [line for line in lines if isinstance(line.get(name), int | float)]
        for split in dict.fromkeys(line["split"] for line in logged):
            points = [(line["iteration"], line[name]) for line in logged if line["split"] == split]
            dot = "o" if len(points) < 3 else None
            axes.plot(*zip(*points, strict=True), label=split, color=COLORS.get(split), marker=dot)
        _dress(axes, name, logged)
    return figure


def plot_confusion_matrix(counts: Tensor, class_names: Sequence[str]) -> Figure:
    """
    Plot how often each class was taken for each.

    Args:
        counts: Of shape `(C, C)`: row the actual class, column the predicted one.
        class_names: The C names.
    """
    from matplotlib.figure import Figure

    size = 1.8 + 0.42 * min(len(class_names), WRITTEN_CLASSES)
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    shares = counts / counts.sum(dim=1, keepdim=True).clamp(min=1)
    axes.imshow(shares.numpy(), cmap="Blues", vmin=0.0, vmax=1.0)
    written = range(len(class_names) if len(class_names) <= WRITTEN_CLASSES else 0)
    for row in written:
        for column in written:
            if count := int(counts[row, column]):
                color = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, str(count), ha="center", va="center", color=color, size=8)
    axes.set_xticks(range(len(class_names)), class_names)
    if max(map(len, class_names)) > 3:
        axes.tick_params("x", rotation=90)
    axes.set_yticks(range(len(class_names)), class_names)
    axes.set(xlabel="predicted", ylabel="actual")
    axes.spines[:].set_visible(False)
    return figure


def plot_images(images: Sequence[Tensor], titles: Sequence[str], columns: int = 8) -> Figure:
    """
    Plot images side by side, each under its title.

    Args:
        images: Each of shape `(1, H, W)`, `(3, H, W)` or `(H, W)`, values from 0 to 1.
        titles: As many.
        columns: Images in a row.
    """
    from matplotlib.figure import Figure

    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(1.3 * columns, 1.8 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for axes in panels:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color("#cccccc")
    for axes in figure.axes[len(images) :]:
        axes.axis("off")
    for axes, image, title in zip(figure.axes, images, titles, strict=False):
        pixels = image.movedim(0, -1).squeeze(-1) if image.ndim == 3 else image
        axes.imshow(pixels.numpy(), cmap="gray_r", vmin=0.0, vmax=1.0)
        axes.set_title(title, size=8)
    return figure


def plot_predictions(predicted: Tensor, actual: Tensor) -> Figure:
    """Plot predicted numbers `(N,)` against the actual ones, beside the line of equal ones."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 5.2), layout="constrained")
    axes = figure.subplots()
    axes.axline((float(actual.mean()),) * 2, slope=1.0, color="#8a94a6", linewidth=1)
    _scatter(axes, actual, predicted)
    axes.set(xlabel="actual", ylabel="predicted")
    axes.set_aspect("equal", adjustable="datalim")
    return figure


def plot_residuals(predicted: Tensor, residuals: Tensor) -> Figure:
    """Plot residuals `(N,)` over the predictions, and beside them how often each size occurs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.8, 3.6), layout="constrained")
    cloud, heap = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1))
    _scatter(cloud, predicted, residuals)
    heap.hist(residuals.numpy(), bins=30, orientation="horizontal", color=COLORS["valid"])
    cloud.set(xlabel="predicted", ylabel="actual - predicted")
    heap.set(xlabel="samples")
    for axes in (cloud, heap):
        axes.axhline(0.0, color="#8a94a6", linewidth=1)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _scatter(axes: Axes, x: Tensor, y: Tensor) -> None:
    alpha = 0.6 if len(x) < 2000 else 0.15
    axes.scatter(x.numpy(), y.numpy(), s=9, alpha=alpha, linewidths=0, color=COLORS["valid"])
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _metric_names(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    found = dict.fromkeys(name for line in lines for name in line)
    names = [name for name in found if name not in ("split", "epoch", "iteration")]
    return [
        name for name in names if any(isinstance(line.get(name), int | float) for line in lines)
    ]


def _dress(axes: Axes, name: str, logged: Sequence[Mapping[str, Any]]) -> None:
    axes.set(xlabel="iteration", title=name)
    axes.locator_params(axis="x", integer=True)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if "loss" in name:  # That of a Wasserstein critic may be negative.
        axes.set_yscale("log" if all(line[name] > 0 for line in logged) else "linear")
    elif logged:  # Leave out the first steep part, so that what follows can be seen.
        begun = logged[-1]["iteration"] / 10
        values = [line[name] for line in logged if line["iteration"] >= begun]
        low, high = min(values), max(values)
        margin = 0.05 * (high - low) or 0.05
        axes.set_ylim(low - margin, high + margin)
    axes.legend(frameon=False)
