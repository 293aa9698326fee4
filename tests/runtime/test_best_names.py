"""The best states of a run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from scaffold_runtime import BestCheckpoint, Engine, restore_best


class Numbered(nn.Module):
    """A model whose weight says which offer it was saved for."""

    def __init__(self) -> None:
        super().__init__()
        self.number = nn.Parameter(torch.zeros(1))


def make(folder: Path, **options: Any) -> tuple[BestCheckpoint, Numbered, Engine]:
    model, trainer = Numbered(), Engine(lambda engine, batch: None)
    return BestCheckpoint(folder, {"model": model}, trainer, **options), model, trainer


def offer_all(
    folder: Path, scores: list[float], moving: bool = True, **options: Any
) -> BestCheckpoint:
    best, model, trainer = make(folder, **options)
    for number, score in enumerate(scores):
        trainer.state.iteration += moving
        model.number.data.fill_(number)
        best.offer(score)
    return best


def kept(folder: Path) -> list[int]:
    """Return the numbers of the states on disk."""
    numbers = []
    for path in folder.iterdir():
        content = torch.load(path, weights_only=True)
        numbers.append(int(content["parts"]["model"]["number"]))
    return sorted(numbers)


@pytest.mark.parametrize("moving", [True, False], ids=["moving on", "standing still"])
@pytest.mark.parametrize(
    ("scores", "options", "expected"),
    [
        ([0.1, 0.9, 0.5, 0.7], {"n_saved": 2}, [1, 3]),
        ([0.1, 0.9, 0.5, 0.7], {"n_saved": 2, "mode": "min"}, [0, 2]),
        ([0.5, 0.5, 0.5], {"n_saved": 2}, [0, 1]),
        ([0.5, 0.5, 0.6], {"n_saved": 2}, [0, 2]),
        ([0.90002, 0.90001, 0.90003], {"n_saved": 2}, [0, 2]),
        ([0.90001, 0.90002], {"n_saved": 2}, [0, 1]),
        ([math.nan, 0.1, math.nan], {}, [1]),
        ([-math.inf, math.nan], {}, [0]),
    ],
)
def test_the_best_are_on_disk(
    tmp_path: Path, scores: list[float], options: dict[str, Any], expected: list[int], moving: bool
) -> None:
    """Largest or smallest, ties to the older, names that are alike, NaN never."""
    offer_all(tmp_path, scores, moving, **options)
    assert kept(tmp_path) == expected


def test_a_restart_remembers_the_pool(tmp_path: Path) -> None:
    """After loading the state, a worse score is refused and a better one pushes out the worst."""
    state = offer_all(tmp_path, [0.3, 0.8], n_saved=2).state_dict()
    best, model, trainer = make(tmp_path, n_saved=2)
    best.load_state_dict(state)
    trainer.state.iteration = 10
    model.number.data.fill_(10)
    assert not best.offer(0.2)
    assert best.offer(0.5)
    assert kept(tmp_path) == [1, 10]


def test_offers_made_again_after_a_restart_leave_no_second_file(tmp_path: Path) -> None:
    """A run killed after an offer makes it again: the file is the same one."""
    best, _, trainer = make(tmp_path)
    trainer.state.iteration = 5
    state = best.state_dict()
    best.offer(0.5)
    again, _, trainer = make(tmp_path)
    again.load_state_dict(state)
    trainer.state.iteration = 5
    again.offer(0.5)
    assert len(list(tmp_path.iterdir())) == 1


def test_the_best_is_restored_and_of_equal_ones_the_oldest(tmp_path: Path) -> None:
    """Also when names sort otherwise."""
    best, model, trainer = make(tmp_path, n_saved=2)
    for iteration in (9, 10):
        trainer.state.iteration = iteration
        model.number.data.fill_(iteration)
        best.offer(0.5)
    restore_best(tmp_path, {"model": model})
    assert model.number.item() == 9
