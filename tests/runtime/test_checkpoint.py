"""Checkpoints: everything comes back, nothing half is ever read, and a good one always stays."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy
import pytest
import torch
from states import assert_equal, make_parts, states, train
from torch import nn

from scaffold_runtime import (
    Checkpoint,
    Engine,
    Events,
    NothingSavedError,
    read_checkpoint,
)
from scaffold_runtime.checkpoints import archive

# --- What comes back ------------------------------------------------------


def test_every_part_comes_back_bit_for_bit(tmp_path: Path) -> None:
    """Model, optimizer, scheduler and engine are as they were when saved."""
    saved = make_parts(seed=1)
    train(saved, steps=5)
    Checkpoint(tmp_path, saved).save()
    restored = make_parts(seed=2)
    Checkpoint(tmp_path, restored).restore()

    assert_equal(states(restored), states(saved))


def test_a_restored_run_trains_on_like_the_one_that_was_saved(tmp_path: Path) -> None:
    """Further steps, with dropout and random inputs, give the same weights to the last bit."""
    unbroken = make_parts(seed=1)
    train(unbroken, steps=3)
    Checkpoint(tmp_path, unbroken).save()
    train(unbroken, steps=3)

    restored = make_parts(seed=2)
    train(restored, steps=1)
    Checkpoint(tmp_path, restored).restore()
    train(restored, steps=3)
    assert_equal(states(restored), states(unbroken))


def test_the_random_numbers_go_on_where_they_were(tmp_path: Path) -> None:
    """Python's, NumPy's and torch's, also the half of a pair that a Gauss generator keeps."""
    checkpoint = Checkpoint(tmp_path, {})
    random.gauss(0, 1)
    numpy.random.standard_normal()  # noqa: NPY002  # The global state is what is saved.
    checkpoint.save()
    expected = draw()
    draw()
    checkpoint.restore()

    assert draw() == expected


def test_as_a_handler_it_saves_whenever_its_event_happens(tmp_path: Path) -> None:
    """The newest is last.pt, older ones have their age in the name, and no more are kept."""
    engine = Engine(lambda engine, batch: None)
    checkpoint = Checkpoint(tmp_path / "deep" / "down", {"trainer": engine}, n_saved=3)
    engine.add_event_handler(Events.EPOCH_COMPLETED, checkpoint)
    engine.run([0], max_epochs=5)

    folder = tmp_path / "deep" / "down"
    epochs = {
        path.name: read_checkpoint(path)["parts"]["trainer"]["epoch"] for path in folder.iterdir()
    }
    assert epochs == {"last.pt": 5, "last-1.pt": 4, "last-2.pt": 3}


# --- What does not fit ----------------------------------------------------


def test_nothing_saved_is_said_with_the_folder(tmp_path: Path) -> None:
    """Both where the folder is empty and where it is missing."""
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(NothingSavedError, match=f"there is no last.pt in {folder}"):
            Checkpoint(folder, {}).restore()


def test_a_part_must_have_a_state() -> None:
    """What cannot be saved is refused when the checkpoint is made."""
    with pytest.raises(TypeError, match="lr cannot be saved: float has no state_dict"):
        Checkpoint(Path(), {"lr": 0.1})


def test_one_file_is_not_enough() -> None:
    """While the newest is written, the one before must stay."""
    with pytest.raises(ValueError, match="n_saved must be at least 2, not 1"):
        Checkpoint(Path(), {}, n_saved=1)


# --- The file ------------------------------------------------------------


@pytest.mark.parametrize("mmap", [False, True])
def test_torch_can_read_the_file_by_itself(tmp_path: Path, mmap: bool) -> None:
    """A checkpoint is not tied to this package: plain torch.load reads it, also mapped."""
    model = nn.Linear(300, 200)
    path = Checkpoint(tmp_path, {"model": model}).save()
    content = torch.load(path, weights_only=True, mmap=mmap)

    assert_equal(dict(content["parts"]["model"]), dict(model.state_dict()))


# --- Failure --------------------------------------------------------------


@pytest.mark.parametrize("older", [1, 2, 4])
@pytest.mark.parametrize("function", ["fsync", "replace", "write", "unlink"])
def test_a_good_checkpoint_stays_whenever_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, older: int, function: str
) -> None:
    """Each call that changes the disk is made to fail in turn: the newest or the one before it
    is still there and restored, and nothing temporary is left."""
    for nth in range(1, 10):
        folder = tmp_path / str(nth)
        engine = Engine(lambda engine, batch: None)
        checkpoint = Checkpoint(folder, {"trainer": engine}, n_saved=3)
        for _ in range(older):
            engine.state.iteration += 1
            checkpoint.save()
        engine.state.iteration += 1
        with monkeypatch.context() as patch:
            failed = fail_at(patch, function, nth)
            raised = False
            try:
                checkpoint.save()
            except OSError:
                raised = True
            assert raised == bool(failed)
        if not failed:
            break

        restored = Engine(lambda engine, batch: None)
        checkpoint = Checkpoint(folder, {"trainer": restored}, n_saved=3)
        checkpoint.restore()
        assert restored.state.iteration in (older, older + 1)
        assert all(path.name.startswith("last") for path in folder.iterdir())
        checkpoint.save()
        assert read_checkpoint(folder / "last.pt")["parts"]["trainer"] == restored.state_dict()
    assert nth > 1 or function == "unlink"


def test_each_file_is_flushed_once_and_its_folder_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file before it gets its name, the folder after; more would only cost time."""
    checkpoint = Checkpoint(tmp_path, {"model": nn.Linear(1, 1)})
    for _ in range(2):
        checkpoint.save()
    flushed: list[str] = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(
        os,
        "fsync",
        lambda descriptor: (
            flushed.append("folder" if Path(f"/dev/fd/{descriptor}").is_dir() else "file"),
            fsync(descriptor),
        ),
    )
    monkeypatch.setattr(
        Path, "replace", lambda path, target: (flushed.append("rename"), replace(path, target))
    )
    checkpoint.save()

    assert flushed == ["file", "rename", "rename", "rename", "folder"]


def test_a_file_has_the_usual_permissions(tmp_path: Path) -> None:
    """Readable for whom a file made by `open` is readable, not private like a temporary one."""
    usual = tmp_path / "usual"
    usual.touch()
    path = Checkpoint(tmp_path, {}).save()

    assert path.stat().st_mode == usual.stat().st_mode


# --- Helpers --------------------------------------------------------------


def draw() -> tuple[float, ...]:
    """Draw from every generator."""
    return (
        random.random(),
        random.gauss(0, 1),
        float(numpy.random.standard_normal()),  # noqa: NPY002
        torch.rand(()).item(),
    )


def fail_at(patch: pytest.MonkeyPatch, function: str, nth: int) -> list[int]:
    """Make the n-th call of a function that changes the disk fail; return a list of failures."""
    calls: list[int] = []
    failures: list[int] = []

    def failing(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            calls.append(1)
            if len(calls) == nth:
                failures.append(nth)
                raise OSError("no space left on the device")
            return real(*arguments, **named)

        return call

    if function == "fsync":
        patch.setattr(os, "fsync", failing(os.fsync))
    elif function == "write":
        make = archive._DigestingFile
        patch.setattr(
            archive, "_DigestingFile", lambda file: make(SimpleNamespace(write=failing(file.write)))
        )
    else:
        patch.setattr(Path, function, failing(getattr(Path, function)))
    return failures
