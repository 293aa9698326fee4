"""The best models of a run: which are kept, under which names, and that they stay."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from scaffold_runtime import (
    BestCheckpoint,
    Engine,
    NothingSavedError,
    restore_best,
)


def test_only_a_better_score_is_kept(tmp_path: Path) -> None:
    """A worse one, an equal one and NaN change nothing; the file's name says what it is."""
    best = make_best(tmp_path)

    assert offer_all(best, [0.5, 0.4, 0.5, math.nan, 0.7]) == [True, False, False, False, True]
    assert names(tmp_path) == ["best_cnn_accuracy=0.7000_iteration=5.pt"]
    assert (best.score, best.path) == (0.7, tmp_path / names(tmp_path)[0])


def test_a_smaller_score_can_be_the_better(tmp_path: Path) -> None:
    """With mode="min" a loss is offered as it is."""
    best = make_best(tmp_path, mode="min", score_name="loss")

    assert offer_all(best, [0.5, 0.6, math.nan, 0.4, 0.4]) == [True, False, False, True, False]
    assert names(tmp_path) == ["best_cnn_loss=0.4000_iteration=4.pt"]


@pytest.mark.parametrize("mode", ["max", "min"])
def test_nan_is_never_the_best(tmp_path: Path, mode: str) -> None:
    """Not even when there is no other; infinity is a number."""
    best = make_best(tmp_path, mode=mode)

    assert offer_all(best, [math.nan, math.nan]) == [False, False]
    assert best.path is None
    assert math.isnan(best.score)
    assert names(tmp_path) == []
    assert best.offer(-math.inf if mode == "max" else math.inf)
    assert best.offer(0.0)


@settings(max_examples=40, deadline=None)
@given(
    scores=st.lists(st.sampled_from([math.nan, 0.0, 0.5, 0.50001, 0.6, -1.0]), max_size=8),
    n_saved=st.integers(1, 3),
    mode=st.sampled_from(["max", "min"]),
    restart=st.integers(0, 8),
)
def test_the_pool_holds_the_best_n_also_through_a_restart(
    tmp_path_factory: pytest.TempPathFactory,
    scores: list[float],
    n_saved: int,
    mode: str,
    restart: int,
) -> None:
    """Files and pool are those of the best n scores, of equal ones the older."""
    folder = tmp_path_factory.mktemp("pool")
    best = make_best(folder, mode=mode, n_saved=n_saved)
    for iteration, score in enumerate(scores):
        if iteration == restart:
            state_dict = best.state_dict()
            best = make_best(folder, mode=mode, n_saved=n_saved)
            best.load_state_dict(state_dict)
        best._trainer.state.iteration = iteration
        best.offer(score)

    sign = 1 if mode == "max" else -1
    numbered = [(score, i) for i, score in enumerate(scores) if not math.isnan(score)]
    expected = sorted(numbered, key=lambda pair: (-sign * pair[0], pair[1]))[:n_saved]
    assert names(folder) == sorted(
        f"best_cnn_accuracy={score:.4f}_iteration={i}.pt" for score, i in expected
    )
    assert [score for score, _ in best.state_dict()["kept"]] == [score for score, _ in expected]


def test_scores_that_look_alike_have_names_of_their_own(tmp_path: Path) -> None:
    """The iteration tells them apart."""
    best = make_best(tmp_path, n_saved=2)
    offer_all(best, [0.900001, 0.900002])

    assert names(tmp_path) == [
        "best_cnn_accuracy=0.9000_iteration=1.pt",
        "best_cnn_accuracy=0.9000_iteration=2.pt",
    ]


def test_a_worse_state_never_takes_the_file_of_a_better_one(tmp_path: Path) -> None:
    """Offered in the same iteration with a score that looks alike, it gets a file of its own."""
    best = make_best(tmp_path, n_saved=2)

    assert best.offer(0.900002)
    assert best.offer(0.900001)
    assert best.score == 0.900002
    assert len(list(tmp_path.iterdir())) == 2


def test_several_models_keep_their_best_in_one_folder(tmp_path: Path) -> None:
    """Each comes back from its own files, though another's score is better and its name longer."""
    trainer = Engine(lambda engine, batch: None)
    for name, weight, score in (("cnn", 1.0, 0.5), ("cnn_small", 2.0, 0.9)):
        nn.init.constant_(MODEL.weight, weight)
        BestCheckpoint(tmp_path, {name: MODEL}, trainer, "accuracy", model_name=name).offer(score)

    assert restore_best(tmp_path, {"cnn": MODEL}, model_name="cnn").name.startswith("best_cnn_acc")
    assert torch.equal(MODEL.weight, torch.ones(1, 2))
    with pytest.raises(NothingSavedError, match="no good best checkpoint of mlp in"):
        restore_best(tmp_path, {"mlp": MODEL}, model_name="mlp")


def test_the_parts_come_back_as_they_were_at_the_best_score(tmp_path: Path) -> None:
    """Restoring takes the best, not the last."""
    best, model = make_best(tmp_path), MODEL
    nn.init.constant_(model.weight, 1.0)
    best.offer(0.9)
    nn.init.constant_(model.weight, 2.0)
    best.offer(0.8)

    assert restore_best(tmp_path, {"model": model}) == best.path
    assert torch.equal(model.weight, torch.ones(1, 2))


@pytest.mark.parametrize("mode", ["max", "min"])
def test_the_best_file_is_found_without_the_run(tmp_path: Path, mode: str) -> None:
    """Among several, by what is in them: the score in a name is rounded."""
    best = make_best(tmp_path, mode=mode, n_saved=3)
    for iteration, score in enumerate(
        [0.900001, 0.900003, 0.900002, -10.0 if mode == "max" else 9]
    ):
        nn.init.constant_(MODEL.weight, score)
        best._trainer.state.iteration = 100 - iteration
        best.offer(score)
    restored = nn.Linear(2, 1, bias=False)

    restore_best(tmp_path, {"model": restored})
    expected = 0.900003 if mode == "max" else 0.900001
    assert torch.equal(restored.weight, torch.full((1, 2), expected))


def test_without_a_best_state_there_is_nothing_to_restore(tmp_path: Path) -> None:
    """The message says where it looked."""
    with pytest.raises(NothingSavedError, match=f"no good best checkpoint in {tmp_path}"):
        restore_best(tmp_path, {"model": MODEL})


def test_a_damaged_best_file_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is passed over, and named in the log."""
    best = make_best(tmp_path)
    best.offer(0.5)
    assert best.path is not None
    best.path.write_bytes(best.path.read_bytes()[:-1])

    with pytest.raises(NothingSavedError, match="no good best checkpoint"):
        restore_best(tmp_path, {"model": MODEL})
    assert "iteration=0.pt is damaged" in caplog.text


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_better_state_is_complete_before_the_worse_one_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    """When it cannot be written, the old best is still there, on disk and in mind."""
    best = make_best(tmp_path, on_error="stop")
    best.offer(0.5)

    def fail(*arguments: Any, **named: Any) -> None:
        raise OSError("no space left on the device")

    with monkeypatch.context() as patch:
        patch.setattr(os if function == "fsync" else Path, function, fail)
        with pytest.raises(OSError, match="no space"):
            best.offer(0.9)

    assert best.score == 0.5
    assert names(tmp_path) == ["best_cnn_accuracy=0.5000_iteration=0.pt"]
    restore_best(tmp_path, {"model": MODEL})


def test_a_file_that_a_later_best_replaced_is_not_expected(tmp_path: Path) -> None:
    """A run resumed from before it offers it again."""
    best = make_best(tmp_path)
    offer_all(best, [0.5])
    older = best.state_dict()
    offer_all(best, [0.6, 0.7])
    resumed = make_best(tmp_path)
    resumed.load_state_dict(older)

    assert resumed.path is None
    assert offer_all(resumed, [0.4, 0.7]) == [True, True]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"n_saved": 0}, "n_saved must be at least 1, not 0"),
        ({"mode": "maximum"}, "mode must be 'max' or 'min', not 'maximum'"),
        ({"score_name": "valid/accuracy"}, "no slashes"),
    ],
)
def test_arguments_are_checked_early(
    tmp_path: Path, arguments: dict[str, Any], complaint: str
) -> None:
    """Not when the first score is offered, hours later."""
    with pytest.raises(ValueError, match=complaint):
        make_best(tmp_path, **arguments)


# --- Helpers --------------------------------------------------------------

MODEL = nn.Linear(2, 1, bias=False)


def make_best(folder: Path, **arguments: Any) -> BestCheckpoint:
    """Make one for the small model."""
    given = {"score_name": "accuracy", "model_name": "cnn", **arguments}
    return BestCheckpoint(folder, {"model": MODEL}, Engine(lambda engine, batch: None), **given)


def offer_all(best: BestCheckpoint, scores: list[float]) -> list[bool]:
    """Offer scores in one iteration after the other."""
    kept = []
    for score in scores:
        best._trainer.state.iteration += 1
        kept.append(best.offer(score))
    return kept


def names(folder: Path) -> list[str]:
    """Return the names of the files in a folder."""
    return sorted(path.name for path in folder.iterdir())
