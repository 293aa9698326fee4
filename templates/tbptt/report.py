"""What came of a run, on one page: beside the baselines, file by file, and in writing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from baselines import measure_baselines
from data import BEFORE, NOT_THERE, Batch, Data
from model import LanguageModel, measure_while_learning, write_text
from scaffold_runtime import to_device
from scaffold_runtime.report import report_run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from baselines import Numbers

PROMPT = b"def "
SHOWN = 600  # Bytes of a test file, or some more, in a picture.


def report_text(run: Any, model: LanguageModel, data: Data, reached: Mapping[str, float]) -> None:
    """Say how the model compares with others on the test text, and write the report."""
    train, test = (b"".join(split.values()) for split in (data.texts.train, data.texts.test))
    sha256 = data.fingerprint.sha256
    step, lr = run.settings.tbptt_step, run.settings.reading_lr
    learning = measure_while_learning(model, data.test, step, lr)
    baselines, five = measure_baselines(train, test)
    others = {"the model, learning as it reads": learning, **baselines}
    run.say("test bits of others: " + ", ".join(f"{n} {bits:.4f}" for n, bits in others.items()))
    compared = {"the model": reached["bits"], **others}
    by_character = measure_by_character(reached["bits"], test)
    for name, number in by_character.items():
        run.say(f"{name} {number}")
    surprises = measure_surprises(model, data.test, data.texts.test, run.device)
    written = PROMPT + write_text(model, BEFORE + PROMPT, 1500, temperature=0.8)
    report_run(
        run,
        {"test bits per byte": f"{reached['bits']:.4f}", **by_character},
        {"surprise": show_surprise(data.texts.test, surprises)},
        {
            "Baselines": (
                f"Bits per byte of the same test text, {len(test):,} bytes, none left out.",
                [("", "bits"), *((name, f"{bits:.4f}") for name, bits in compared.items())],
            ),
            "Test files": (
                f"Bits per byte of each. The sha256 of all texts is {sha256}.",
                list_files(data.texts.test, surprises, five),
            ),
        },
        {
            "Written by the model": (
                f"After {PROMPT.decode()!r}, at temperature 0.8.",
                written.decode("utf-8", "replace"),
            )
        },
    )


def measure_by_character(bits: float, text: bytes) -> dict[str, str]:
    """Return the bits for a character of UTF-8, where a text has any of several bytes."""
    characters = len(text.decode("utf-8", "replace"))
    if characters == len(text):
        return {}
    return {"test bits per character": f"{bits * len(text) / characters:.4f}"}


def list_files(
    files: Mapping[str, bytes], surprises: Mapping[str, Numbers], five: Numbers
) -> list[tuple[str, ...]]:
    """Return a row for each file: its bytes, and the bits that model and 5-gram need for one."""
    rows: list[tuple[str, ...]] = [("", "bytes", "the model", "5-gram")]
    start = 0
    for name, text in files.items():
        end = start + len(text)
        means = surprises[name].mean(), five[start:end].mean()
        rows.append((name, f"{len(text):,}", *(f"{mean:.4f}" for mean in means)))
        start = end
    return rows


def show_surprise(
    files: Mapping[str, bytes], surprises: Mapping[str, Numbers]
) -> tuple[str, Figure]:
    """Return a picture of what surprised the model in the first file, from a `def` on."""
    name, text = next(iter(files.items()))
    middle = len(text) // 2
    start = text.rfind(b"\n", 0, max(text.find(PROMPT, middle), middle)) + 1
    end = text.find(b"\n\n", start + SHOWN, start + 2 * SHOWN)
    excerpt = slice(start, end if end > 0 else start + SHOWN)
    caption = f"In {name}, new to the model: the darker a byte, the more bits it took."
    return caption, plot_surprise(text[excerpt], surprises[name][excerpt])


@torch.no_grad()
def measure_surprises(
    model: nn.Module, batches: list[Batch], files: Mapping[str, bytes], device: torch.device
) -> dict[str, Numbers]:
    """Return for each file how many bits the model needed for each of its bytes."""
    model.eval()
    hidden, parts = None, []
    for batch in batches:
        symbols, following = to_device(batch, device)
        scores, hidden = model(symbols, hidden)
        losses = F.cross_entropy(
            scores.movedim(-1, 1), following, reduction="none", ignore_index=NOT_THERE
        )
        parts.append(losses.double().cpu() / math.log(2))
    bits = torch.cat(parts)
    return {
        name: bits[: len(text), place].numpy() for place, (name, text) in enumerate(files.items())
    }


def plot_surprise(text: bytes, bits: Numbers) -> Figure:
    """Plot a text on a ground that is the darker, the more bits each byte took."""
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    lines = _wrapped(text.decode("latin-1"))
    columns = max(len(line) for line, _ in lines)
    ground = np.full((len(lines), columns), np.nan)
    # Laid out by hand: with so many texts, an automatic layout takes a second.
    figure = Figure(figsize=(0.085 * columns + 1, 0.17 * len(lines)))
    axes = figure.add_axes((0.01, 0.01, 0.88, 0.98))
    for row, (line, start) in enumerate(lines):
        ground[row, : len(line)] = bits[start : start + len(line)]
        for column, character in enumerate(line):
            color = "white" if ground[row, column] > 6 else "black"
            written = axes.text(column, row, character, color=color, parse_math=False)
            written.set(size=7, family="monospace", ha="center", va="center")
    shown = axes.imshow(ground, cmap="Oranges", norm=Normalize(0, 10), aspect="auto")
    axes.axis("off")
    figure.colorbar(shown, figure.add_axes((0.91, 0.1, 0.015, 0.8)), label="bits")
    return figure


def _wrapped(text: str, width: int = 120) -> list[tuple[str, int]]:
    """Return the lines of a text, cut to a width, and where each begins."""
    lines: list[tuple[str, int]] = []
    start = 0
    for line in text.split("\n"):
        cuts = range(0, max(len(line), 1), width)
        lines += [(line[cut : cut + width], start + cut) for cut in cuts]
        start += len(line) + 1
    return lines
