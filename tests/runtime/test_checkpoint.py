"""Checkpoints: everything comes back, nothing half is ever read, and a good one always stays."""

from __future__ import annotations

import hashlib
import os
import pickle
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import nn

from scaffold_runtime import (
    Checkpoint,
    CheckpointError,
    Engine,
    Events,
    NothingSavedError,
    load_parts,
    read_checkpoint,
    write_checkpoint,
)

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
    with pytest.raises(CheckpointError, match="only in the file: scheduler; only here: ema, opt"):
        Checkpoint(
            tmp_path,
            {"model": parts["model"], "opt": parts["optimizer"], "ema": parts["model"]},
        ).restore()
    assert_equal(states(parts), before)


def test_a_part_of_another_shape_is_refused_in_one_line(tmp_path: Path) -> None:
    """The message names the file, the part and what differs."""
    Checkpoint(tmp_path, {"model": nn.Linear(2, 3)}).save()

    with pytest.raises(
        CheckpointError, match=r"last\.pt does not fit the model here: .*weight"
    ) as error:
        Checkpoint(tmp_path, {"model": nn.Linear(4, 3)}).restore()
    assert "\n" not in str(error.value)


def test_nothing_saved_is_said_with_the_folder(tmp_path: Path) -> None:
    """Both where the folder is empty and where it is missing."""
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(NothingSavedError, match=f"nothing was saved in {folder} yet"):
            Checkpoint(folder, {}).restore()


def test_a_part_must_have_a_state() -> None:
    """What cannot be saved is refused when the checkpoint is made."""
    with pytest.raises(TypeError, match="lr cannot be saved: float has no state_dict"):
        Checkpoint(Path(), {"lr": 0.1})


def test_one_file_is_not_enough() -> None:
    """While the newest is written, the one before must stay."""
    with pytest.raises(ValueError, match="n_saved must be at least 2, not 1"):
        Checkpoint(Path(), {}, n_saved=1)


# --- Damage ---------------------------------------------------------------


def damages() -> Iterator[tuple[str, Callable[[bytes], bytes]]]:
    """Ways to damage a file."""
    yield "empty", lambda content: b""
    for share in (0.001, 0.1, 0.5, 0.9, 0.999):
        yield (
            f"first {share:.1%}",
            lambda content, share=share: content[: int(share * len(content))],
        )
    for bytes_lost in (1, 31, 32, 33):
        yield f"last {bytes_lost} lost", lambda content, lost=bytes_lost: content[:-lost]
    for share in (0.0, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 0.9999):
        yield f"flipped at {share:.0%}", lambda content, share=share: flipped(content, share)
    yield "zeros", lambda content: bytes(len(content))
    yield "longer", lambda content: content + b"\0"


@pytest.mark.parametrize(("name", "damage"), [pytest.param(*way, id=way[0]) for way in damages()])
def test_a_damaged_newest_file_falls_back_to_the_one_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, damage: Callable[[bytes], bytes]
) -> None:
    """The damaged file is named in a warning, and the run goes on with the older state."""
    model = nn.Linear(3, 2)
    checkpoint = Checkpoint(tmp_path, {"model": model})
    checkpoint.save()
    older = {key: value.clone() for key, value in model.state_dict().items()}
    nn.init.zeros_(model.weight)
    newest = checkpoint.save()
    newest.write_bytes(damage(newest.read_bytes()))

    assert checkpoint.restore() == tmp_path / "last-1.pt"
    assert_equal(dict(model.state_dict()), older)
    assert f"{newest} is damaged" in caplog.text


def test_when_no_file_is_good_all_are_named(tmp_path: Path) -> None:
    """Nothing is restored."""
    checkpoint = Checkpoint(tmp_path, {})
    for _ in range(2):
        checkpoint.save()
    for path in tmp_path.iterdir():
        path.write_bytes(b"nothing")

    with pytest.raises(CheckpointError, match=r"none of last\.pt, last-1\.pt"):
        checkpoint.restore()


def test_code_in_a_file_is_never_run(tmp_path: Path) -> None:
    """A pickle that would make a file is refused, in torch's archive and alone, digest or not."""
    made = tmp_path / "made"
    torch.save({"parts": Hostile(made)}, tmp_path / "archive")
    for content in ((tmp_path / "archive").read_bytes(), pickle.dumps(Hostile(made))):
        path = tmp_path / "last.pt"
        path.write_bytes(content + hashlib.sha256(content).digest())
        with pytest.raises(CheckpointError, match=r"last\.pt is no checkpoint of ours"):
            read_checkpoint(path)
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="is damaged"):
            read_checkpoint(path)

    assert not made.exists()


def test_a_strange_file_with_a_right_digest_is_refused_in_one_line(tmp_path: Path) -> None:
    """Whatever torch trips over in it, the error is the same, and so is its kind."""
    path = tmp_path / "strange.pt"
    write_checkpoint(path, {"parts": {"model": nn.Linear(3, 2).state_dict()}})
    archive = path.read_bytes()[:-32]
    strange = random.Random(0)
    refused: list[str] = []
    for _ in range(300):
        content = bytearray(archive)
        for _ in range(6):
            content[strange.randrange(len(content))] = strange.randrange(256)
        del content[strange.randrange(len(content) // 2, 2 * len(content)) :]
        path.write_bytes(content + hashlib.sha256(content).digest())
        try:
            read_checkpoint(path)
        except CheckpointError as error:
            refused.append(str(error))

    assert len(refused) > 100
    assert not any("\n" in line for line in refused)


def test_only_tensors_and_plain_values_can_be_read(tmp_path: Path) -> None:
    """An object of a class is refused when read, so nothing is rebuilt by its own code."""
    path = tmp_path / "a.pt"
    write_checkpoint(path, {"parts": {"path": tmp_path}})

    with pytest.raises(CheckpointError, match="no checkpoint of ours"):
        read_checkpoint(path)


def test_a_missing_file_is_a_missing_file(tmp_path: Path) -> None:
    """Not a damaged one."""
    with pytest.raises(FileNotFoundError):
        read_checkpoint(tmp_path / "missing.pt")


@pytest.mark.parametrize("mmap", [False, True])
def test_torch_can_read_the_file_by_itself(tmp_path: Path, mmap: bool) -> None:
    """A checkpoint is not tied to this package: plain torch.load reads it, also mapped."""
    model = nn.Linear(300, 200)
    path = Checkpoint(tmp_path, {"model": model}).save()
    content = torch.load(path, weights_only=True, mmap=mmap)

    assert_equal(dict(content["parts"]["model"]), dict(model.state_dict()))


def test_a_file_without_parts_does_not_fit(tmp_path: Path) -> None:
    """A file written by somebody else for something else is refused, not half loaded."""
    path = tmp_path / "a.pt"
    write_checkpoint(path, {"something": 1})

    with pytest.raises(CheckpointError, match="only here: model"):
        load_parts(path, read_checkpoint(path), {"model": nn.Linear(1, 1)})


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
            try:
                checkpoint.save()
            except OSError:
                assert failed
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


@pytest.mark.parametrize("stopped_at", [1, 2, 3])
def test_a_writer_that_is_killed_leaves_a_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped_at: int
) -> None:
    """Killed between any two renames, without a chance to tidy up, the newest or the one before
    it is restored, also when the newest of before was damaged, and what is left is tidied."""
    for damaged in (False, True):
        folder = tmp_path / str(damaged)
        engine = Engine(lambda engine, batch: None)
        checkpoint = Checkpoint(folder, {"trainer": engine})
        for iteration in (1, 2):
            engine.state.iteration = iteration
            checkpoint.save()
        if damaged:
            (folder / "last.pt").write_bytes(b"damaged")
            checkpoint.restore()
        engine.state.iteration = 3
        with monkeypatch.context() as patch:
            fail_at(patch, "replace", stopped_at)
            patch.setattr(Path, "unlink", lambda path, missing_ok=False: None)
            with suppress(OSError):
                checkpoint.save()

        checkpoint.restore()
        assert engine.state.iteration in ((1, 3) if damaged else (2, 3))
        assert all(path.name.startswith("last") for path in folder.iterdir())


def test_each_file_is_flushed_once_and_its_folder_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file before it gets its name, the folder after; more would only cost time."""
    checkpoint = Checkpoint(tmp_path, {"model": nn.Linear(1, 1)})
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

    assert flushed == ["file", "rename", "rename", "folder"]


def test_a_file_has_the_usual_permissions(tmp_path: Path) -> None:
    """Readable for whom a file made by `open` is readable, not private like a temporary one."""
    usual = tmp_path / "usual"
    usual.touch()
    path = Checkpoint(tmp_path, {}).save()

    assert path.stat().st_mode == usual.stat().st_mode


# --- Helpers --------------------------------------------------------------


class Hostile:
    """Makes a file when it is unpickled without care."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self._path,)


def make_parts(seed: int = 0) -> dict[str, Any]:
    """Make everything that a training run has."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.BatchNorm1d(8), nn.Linear(8, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    engine = Engine(lambda engine, batch: None)
    return {"model": model, "optimizer": optimizer, "scheduler": scheduler, "trainer": engine}


def train(parts: dict[str, Any], steps: int) -> None:
    """Train on random inputs."""
    for _ in range(steps):
        parts["optimizer"].zero_grad()
        parts["model"](torch.randn(4, 3)).square().mean().backward()
        parts["optimizer"].step()
        parts["scheduler"].step()
    parts["trainer"].run([0], max_epochs=parts["trainer"].state.epoch + steps)


def states(parts: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of all states."""
    return {name: copy(part.state_dict()) for name, part in parts.items()}


def copy(value: Any) -> Any:
    """Copy nested states with their tensors."""
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: copy(item) for key, item in value.items()}
    return [copy(item) for item in value] if isinstance(value, list | tuple) else value


def assert_equal(one: Any, other: Any) -> None:
    """Compare nested states, tensors bit for bit."""
    torch.testing.assert_close(one, other, rtol=0, atol=0)


def draw() -> tuple[float, ...]:
    """Draw from every generator."""
    return (
        random.random(),
        random.gauss(0, 1),
        float(numpy.random.standard_normal()),  # noqa: NPY002
        torch.rand(()).item(),
    )


def flipped(content: bytes, share: float) -> bytes:
    """Change one bit at a place."""
    changed = bytearray(content)
    changed[int(share * len(content))] ^= 16
    return bytes(changed)


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
        patch.setattr(os, "fdopen", failing(os.fdopen))
    else:
        patch.setattr(Path, function, failing(getattr(Path, function)))
    return failures
