"""What a model is made of."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class Layer:
    """A line of the summary."""

    name: str
    kind: str
    parameters: int
    trainable: int
    size: int  # Bytes of parameters and buffers.


class ModelSummary:
    """
    The layers of a model with their parameters, as a table.

    A layer's numbers include those inside it; the last line counts what several
    layers share only once.

    >>> model = nn.Sequential(nn.Linear(100, 50), nn.ReLU(), nn.Linear(50, 10))
    >>> _ = model[2].requires_grad_(False)
    >>> print(ModelSummary(model))
    layer  type        parameters  trainable     size
    0      Linear           5,050      5,050  20.2 kB
    1      ReLU                 0          0      0 B
    2      Linear             510          0   2.0 kB
    total  Sequential       5,560      5,050  22.2 kB
    """

    def __init__(self, model: nn.Module, max_depth: int = 1) -> None:
        """
        Args:
            model: Looked at now, not kept. Lazy layers count nothing yet.
            max_depth: How deep nested layers are listed; -1 lists all, 0 the total alone.
        """
        self.layers = [
            _measure(name, layer)
            for name, layer in model.named_modules()
            if name and (max_depth < 0 or name.count(".") < max_depth)
        ]
        self.total = _measure("total", model)

    def __str__(self) -> str:
        head = ("layer", "type", "parameters", "trainable", "size")
        rows = [head, *(_cells(layer) for layer in (*self.layers, self.total))]
        widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
        return "\n".join(_line(row, widths) for row in rows)


def _measure(name: str, module: nn.Module) -> Layer:
    parameters = [each for each in module.parameters() if not nn.parameter.is_lazy(each)]
    everything: list[Tensor] = [*parameters, *module.buffers()]
    return Layer(
        name,
        type(module).__name__,
        sum(each.numel() for each in parameters),
        sum(each.numel() for each in parameters if each.requires_grad),
        sum(each.numel() * each.element_size() for each in everything),
    )


def _cells(layer: Layer) -> tuple[str, ...]:
    counts = f"{layer.parameters:,}", f"{layer.trainable:,}"
    return layer.name, layer.kind, *counts, _readable(layer.size)


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    words = [cell.ljust(width) for cell, width in zip(row[:2], widths[:2], strict=True)]
    numbers = [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
    return "  ".join([*words, *numbers])


def _readable(size: int) -> str:
    power = min((len(str(size)) - 1) // 3, 3)
    return f"{size / 1000**power:.{min(power, 1)}f} {('B', 'kB', 'MB', 'GB')[power]}"
