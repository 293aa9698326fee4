"""What does not fit is refused in one line, before anything is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from states import assert_equal, make_parts, states, train
from torch import nn, optim

from scaffold_runtime import (
    EMA,
    Accuracy,
    BestCheckpoint,
    Checkpoint,
    CheckpointError,
    Engine,
    load_parts,
    read_checkpoint,
    restore_best,
    write_checkpoint,
)

# --- Parts ----------------------------------------------------------------


def test_other_parts_are_refused_by_name(tmp_path: Path) -> None:
    """A resumed run with more or fewer parts would go on, and be wrong."""
    parts = make_parts()
    Checkpoint(tmp_path, {"model": parts["model"], "scheduler": parts["scheduler"]}).save()
    before = states(parts)

    with pytest.raises(CheckpointError, match="only in the file: scheduler; only here: nothing"):
        Checkpoint(tmp_path, {"model": parts["model"]}).restore()
    with pytest.raises(CheckpointError, match="only in the file: nothing; only here: optimizer"):
        Checkpoint(
            tmp_path, {name: parts[name] for name in ("model", "scheduler", "optimizer")}
        ).restore()
    with pytest.raises(CheckpointError, match="only in the file: scheduler; only here: opt, ema"):
        Checkpoint(
            tmp_path,
            {"model": parts["model"], "opt": parts["optimizer"], "ema": parts["model"]},
        ).restore()
    assert_equal(states(parts), before)


def test_a_file_without_parts_does_not_fit(tmp_path: Path) -> None:
    """A file written by somebody else for something else is refused, not half loaded."""
    path = tmp_path / "a.pt"
    write_checkpoint(path, {"something": 1})

    with pytest.raises(CheckpointError, match="only here: model"):
        load_parts(path, read_checkpoint(path), {"model": nn.Linear(1, 1)})


# --- Models ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("here", "difference"),
    [
        (nn.Linear(4, 3), "weight is [3, 2] in the file and [3, 4] here"),
        (nn.Linear(2, 5), "weight is [3, 2] in the file and [5, 2] here; bias is [3] in the file"),
        (nn.Linear(2, 3, bias=False), "only in the file: bias; only here: nothing"),
        (
            nn.Sequential(*(nn.Linear(2, 3) for _ in range(3))),
            "only in the file: weight, bias; only here: 0.weight, 0.bias, 1.weight and 3 more",
        ),
    ],
)
def test_another_model_is_refused_by_its_first_keys_and_shapes(
    tmp_path: Path, here: nn.Module, difference: str
) -> None:
    """In one line; the file stays where it is, and nothing here has changed."""
    path = Checkpoint(tmp_path, {"model": nn.Linear(2, 3)}).save()
    before = states({"model": here})

    with pytest.raises(CheckpointError) as error:
        Checkpoint(tmp_path, {"model": here}).restore()
    assert str(error.value).startswith(f"{path} does not fit the model here: {difference}")
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]
    assert_equal(states({"model": here}), before)


def test_nothing_is_loaded_when_the_last_part_does_not_fit(tmp_path: Path) -> None:
    """Not the model before it, nor the random numbers."""
    saved = make_parts(seed=1)
    train(saved, steps=2)
    Checkpoint(tmp_path, {**saved, "critic": nn.Linear(2, 3)}).save()
    here = {**make_parts(seed=2), "critic": nn.Linear(3, 3)}
    before, random_state = states(here), torch.get_rng_state()

    with pytest.raises(CheckpointError, match="does not fit the critic here: weight"):
        Checkpoint(tmp_path, here).restore()
    assert_equal(states(here), before)
    assert torch.equal(torch.get_rng_state(), random_state)


def test_no_weight_changes_when_another_part_refuses(tmp_path: Path) -> None:
    """What cannot be compared beforehand is loaded before models and optimizers."""
    engine = Engine(lambda engine, batch: None)
    Accuracy().attach(engine, "accuracy")
    saved = {"model": nn.Linear(2, 3), "trainer": engine}
    Checkpoint(tmp_path, saved).save()
    here = {"model": nn.Linear(2, 3), "trainer": Engine(lambda engine, batch: None)}
    before = states(here)

    with pytest.raises(CheckpointError, match=r"does not fit the trainer here: .*Accuracy"):
        Checkpoint(tmp_path, here).restore()
    assert_equal(states(here), before)


def test_a_model_inside_of_a_part_is_compared_as_well(tmp_path: Path) -> None:
    """The average of another model is refused before the engine is loaded."""
    engine = Engine(lambda engine, batch: None)
    engine.state.iteration = 5
    Checkpoint(tmp_path, {"trainer": engine, "ema": EMA(nn.Linear(2, 3))}).save()
    here = Engine(lambda engine, batch: None)

    with pytest.raises(CheckpointError, match=r"the ema here: weight is \[3, 2\] in the file"):
        Checkpoint(tmp_path, {"trainer": here, "ema": EMA(nn.Linear(4, 3))}).restore()
    assert here.state.iteration == 0


def test_a_model_that_converts_states_of_before_decides_by_itself(tmp_path: Path) -> None:
    """A hook that renames a key may do so."""
    Checkpoint(tmp_path, {"model": nn.Linear(2, 3)}).save()
    model = nn.Sequential(nn.Linear(2, 3))

    def rename(module: nn.Module, state: dict[str, Any], *others: Any) -> None:
        for key in [key for key in state if not key.startswith("0.")]:
            state[f"0.{key}"] = state.pop(key)

    model.register_load_state_dict_pre_hook(rename)
    assert Checkpoint(tmp_path, {"model": model}).restore().exists()


def test_the_best_of_another_model_is_refused(tmp_path: Path) -> None:
    """In the same words."""
    best = BestCheckpoint(tmp_path, {"model": nn.Linear(2, 3)}, Engine(lambda engine, batch: 1))
    best.offer(1.0)

    with pytest.raises(CheckpointError, match=r"weight is \[3, 2\] in the file and \[3, 4\] here"):
        restore_best(tmp_path, {"model": nn.Linear(4, 3)})


def test_the_best_file_is_compared_with_the_optimizer_as_well(tmp_path: Path) -> None:
    """If it holds one."""
    engine = Engine(lambda engine, batch: None)
    BestCheckpoint(tmp_path, {"optimizer": make_optimizer(3, 5)}, engine).offer(1.0)

    with pytest.raises(CheckpointError, match="parameter 1 of group 0"):
        restore_best(tmp_path, {"optimizer": make_optimizer(3, 4)})


# --- Optimizers -----------------------------------------------------------


def make_optimizer(*sizes: int, kind: Any = optim.Adam, groups: int = 1) -> optim.Optimizer:
    """Make an optimizer of weights of these sizes, with a state."""
    weights = [torch.ones(size, requires_grad=True) for size in sizes]
    each = len(weights) // groups
    groups_of = [{"params": weights[i * each : (i + 1) * each]} for i in range(groups)]
    optimizer: optim.Optimizer = kind(groups_of, lr=0.1)
    sum(weight.sum() for weight in weights).backward()  # type: ignore[union-attr]
    optimizer.step()
    return optimizer


@pytest.mark.parametrize(
    ("here", "difference"),
    [
        (make_optimizer(3, 4), "parameter 1 of group 0 is [5] in the file and [4] here"),
        (make_optimizer(3), "group 0 has 2 parameters in the file and 1 here"),
        (make_optimizer(3, 5, groups=2), "1 groups of parameters in the file and 2 here"),
        (make_optimizer(3, 5, kind=optim.SGD), "it is another kind of optimizer; only in the file"),
    ],
)
def test_another_optimizer_is_refused(
    tmp_path: Path, here: optim.Optimizer, difference: str
) -> None:
    """Torch loads an Adam state of other shapes without a word, and fails or errs steps later."""
    Checkpoint(tmp_path, {"optimizer": make_optimizer(3, 5)}).save()
    before = states({"optimizer": here})

    with pytest.raises(CheckpointError) as error:
        Checkpoint(tmp_path, {"optimizer": here}).restore()
    assert f"does not fit the optimizer here: {difference}" in str(error.value)
    assert_equal(states({"optimizer": here}), before)


def test_the_optimizer_of_a_model_with_swapped_layers_is_refused(tmp_path: Path) -> None:
    """The number of parameters and of values is the same."""
    Checkpoint(tmp_path, {"optimizer": make_optimizer(3, 5)}).save()

    with pytest.raises(CheckpointError, match=r"parameter 0 of group 0 is \[3\] in the file"):
        Checkpoint(tmp_path, {"optimizer": make_optimizer(5, 3)}).restore()


def test_a_file_of_before_shapes_were_saved_is_loaded(tmp_path: Path) -> None:
    """It has only the parts and the random state."""
    saved = make_parts(seed=1)
    train(saved, steps=2)
    path = Checkpoint(tmp_path, saved).save()
    content = read_checkpoint(path)
    write_checkpoint(path, {name: content[name] for name in ("parts", "random_state")})
    restored = make_parts(seed=2)

    Checkpoint(tmp_path, restored).restore()
    assert_equal(states(restored), states(saved))
