"""What differs between a run that was killed and one that was left alone, to the last bit."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

MANY = 10  # Differences that are told; there may be thousands.


def differences(unbroken: Path, killed: Path) -> list[str]:
    """
    Return what differs between two runs of the program: nothing, if all is well.

    Compared are the samples and the loss of every iteration, metrics.jsonl, and
    every tensor and value of the final state and of the files in it.
    """
    found = [
        *witness_differences(unbroken / "witness", killed / "witness"),
        *text_differences(unbroken / "run/metrics.jsonl", killed / "run/metrics.jsonl"),
        *file_differences(unbroken / "final.pt", killed / "final.pt"),
    ]
    return found[:MANY]


def file_differences(unbroken: Path, killed: Path) -> list[str]:
    """Return what differs between two files of `torch.save`."""
    return [f"{killed.name}: {each}" for each in content_differences(load(unbroken), load(killed))]


def load(path: Path) -> Any:
    """Read a file of tensors and plain values, without our code."""
    return torch.load(path, weights_only=True)


def content_differences(unbroken: Any, killed: Any) -> list[str]:
    """Return the places where two nested contents differ in a bit."""
    expected, found = dict(_flat(unbroken)), dict(_flat(killed))
    return [
        f"{place} is {_shown(found, place)}, not {_shown(expected, place)}"
        for place in sorted(expected.keys() | found.keys())
        if expected.get(place) != found.get(place)
    ]


def text_differences(unbroken: Path, killed: Path) -> list[str]:
    """Return the lines of which only one of two files has them, or has them elsewhere."""
    expected, found = (path.read_text().splitlines() for path in (unbroken, killed))
    if len(expected) != len(found):
        return [f"{killed.name} has {len(found)} lines, not {len(expected)}"]
    return [
        f"{killed.name}:{number}: {one}, not {other}"
        for number, (one, other) in enumerate(zip(found, expected, strict=True), 1)
        if one != other
    ]


def witness_differences(unbroken: Path, killed: Path) -> list[str]:
    """
    Return the iterations that differ, or were not repeated as they were.

    Also what was lost: a process that went on from before what had been saved.
    """
    expected, found = _steps(unbroken), _steps(killed)
    differing = [
        f"iteration {iteration} was {sorted(steps)}, not {sorted(expected.get(iteration, ()))}"
        for iteration, steps in sorted(found.items())
        if steps != expected.get(iteration)
    ]
    missing = sorted(expected.keys() - found.keys())
    return differing + [f"iteration {each} is missing" for each in missing] + lost(killed)


def lost(witness: Path) -> list[str]:
    """Return where a run went on from before the newest state that was saved."""
    saved, found = 0, []
    for kind, *words in _lines(witness):
        if kind == "saved":
            saved = int(words[0])
        elif kind == "begun" and int(words[0]) < saved:
            found.append(f"went on from iteration {words[0]} when {saved} had been saved")
    return found


def last_iteration(folder: Path) -> int:
    """Return the last iteration of a run of the program."""
    return max(_steps(folder / "witness"))


def _steps(witness: Path) -> dict[int, set[tuple[str, ...]]]:
    """Return all records of each iteration: one, unless it was repeated differently."""
    steps: dict[int, set[tuple[str, ...]]] = {}
    for kind, *words in _lines(witness):
        if kind == "step":
            steps.setdefault(int(words[0]), set()).add(tuple(words[1:]))
    return steps


def _lines(witness: Path) -> list[list[str]]:
    return [line.split(" ") for line in witness.read_text().splitlines()]


def _flat(content: Any, place: str = "") -> Iterator[tuple[str, tuple[object, ...]]]:
    """Yield each tensor and plain value with its place; NaN equals NaN, and 0.0 is not -0.0."""
    if isinstance(content, Mapping):
        yield place, ("mapping", *map(str, content))
        for key, value in content.items():
            yield from _flat(value, f"{place}.{key}" if place else str(key))
    elif isinstance(content, list | tuple):
        yield place, (type(content).__name__, len(content))
        for index, value in enumerate(content):
            yield from _flat(value, f"{place}[{index}]")
    elif isinstance(content, Tensor):
        content = content.detach().cpu()
        raw = content.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        yield place, ("tensor", str(content.dtype), tuple(content.shape), raw)
    elif isinstance(content, float):
        yield place, ("float", struct.pack("<d", content))
    else:
        yield place, (type(content).__name__, content)


def _shown(content: Mapping[str, tuple[object, ...]], place: str) -> str:
    if place not in content:
        return "missing"
    text = repr(content[place])
    return text if len(text) < 80 else text[:77] + "..."
