"""Damaged, strange and hostile files: recognised, moved aside, and the one before is used."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from children import in_child
from torch import nn

from scaffold_runtime import (
    Checkpoint,
    CheckpointError,
    Engine,
    NothingSavedError,
    read_checkpoint,
    write_checkpoint,
)
from scaffold_runtime.checkpoints import generations

PLACES = 200

# --- Damage ---------------------------------------------------------------


def damages(size: int) -> Iterator[tuple[str, Callable[[bytes], bytes]]]:
    """Ways to damage a file of a size."""
    chance = random.Random(0)
    for _ in range(PLACES):
        place, bit = chance.randrange(size), 1 << chance.randrange(8)
        yield f"bit {bit} at {place} flipped", lambda c, p=place, b=bit: flipped(c, p, b)
    for length in {0, 1, 31, 32, 33, size - 1, *(chance.randrange(size) for _ in range(PLACES))}:
        yield f"cut to {length}", lambda content, length=length: content[:length]
    yield "zeros", lambda content: bytes(len(content))
    yield "longer", lambda content: content + b"\0"
    yield "of another format", lambda content: b"\x89PNG\r\n" + bytes(1000)


def check_that_damage_is_survived(folder: Path) -> int:
    """Damage the newest of two files in every way, and check what becomes of it; count the ways."""
    older, newest = saved_twice(folder / "good")
    ways = list(damages(len(newest)))
    for number, (way, damage) in enumerate(ways):
        broken = folder / str(number)
        broken.mkdir()
        (broken / "last.pt").write_bytes(damage(newest))
        (broken / "last-1.pt").write_bytes(older)
        model = make_model(5.0)
        assert Checkpoint(broken, {"model": model}).restore() == broken / "last-1.pt", way
        assert model.weight.eq(1.0).all(), way
        assert {path.name for path in broken.iterdir()} == {"last.pt.damaged", "last-1.pt"}, way
        assert (broken / "last.pt.damaged").read_bytes() == damage(newest), way
        shutil.rmtree(broken)
    return len(ways)


def test_every_damage_is_recognised_and_survived(tmp_path: Path) -> None:
    """200 flipped bits, 200 lengths, and some more: moved aside, and the older state restored."""
    assert check_that_damage_is_survived(tmp_path) > 2 * PLACES


def no_digest(path: Path) -> dict[str, Any]:
    """Read as torch does alone."""
    content: dict[str, Any] = torch.load(path, weights_only=True)
    return content


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("read_checkpoint", no_digest),
        ("_move_aside", lambda path: path),
        ("_move_aside", lambda path: (path.unlink(), path)[1]),
    ],
    ids=["no digest", "left in place", "removed"],
)
def test_a_fault_in_the_reading_would_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, fault: Any
) -> None:
    """The check of the test above fails under each fault that is planted."""
    monkeypatch.setattr(generations, name, fault)

    with pytest.raises(Exception, match=r".*"):
        check_that_damage_is_survived(tmp_path)


def test_the_warning_names_the_file_its_new_name_and_the_one_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In one line."""
    saved_twice(tmp_path)
    (tmp_path / "last.pt").write_bytes(b"")
    Checkpoint(tmp_path, {"model": make_model()}).restore()

    (record,) = caplog.records
    assert record.getMessage() == (
        f"{tmp_path / 'last.pt'} is damaged: its bytes do not match its digest; "
        "it is now last.pt.damaged, and last-1.pt is used"
    )


def test_no_damaged_file_is_overwritten_by_another(tmp_path: Path) -> None:
    """Each is kept for whoever wants to look at it."""
    for number in range(3):
        saved_twice(tmp_path)
        (tmp_path / "last.pt").write_bytes(b"damage %d" % number)
        Checkpoint(tmp_path, {"model": make_model()}).restore()

    kept = {path.name: path.read_bytes() for path in tmp_path.glob("*.damaged*")}
    assert kept == {
        "last.pt.damaged": b"damage 0",
        "last.pt.damaged-1": b"damage 1",
        "last.pt.damaged-2": b"damage 2",
    }


def test_when_no_file_is_good_all_are_named(tmp_path: Path) -> None:
    """In one line, and nothing is restored."""
    saved_twice(tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(b"nothing")
    model = make_model(5.0)

    with pytest.raises(
        CheckpointError,
        match=r"^none of last\.pt, last-1\.pt in .* is good \(they are now last\.pt\.damaged, "
        r"last-1\.pt\.damaged\); begin again, or put an older copy back$",
    ):
        Checkpoint(tmp_path, {"model": model}).restore()
    assert model.weight.eq(5.0).all()
    with pytest.raises(NothingSavedError):
        Checkpoint(tmp_path, {"model": model}).restore()


def test_one_file_more_than_is_kept_is_looked_at(tmp_path: Path) -> None:
    """A save that was killed leaves it."""
    saved_twice(tmp_path)
    (tmp_path / "last-1.pt").rename(tmp_path / "last-2.pt")
    (tmp_path / "last.pt").rename(tmp_path / "last-1.pt")
    (tmp_path / "last-1.pt").write_bytes(b"damaged")

    assert Checkpoint(tmp_path, {"model": make_model()}).restore().name == "last-2.pt"


def test_a_file_that_may_not_be_read_is_not_damaged(tmp_path: Path) -> None:
    """The error is the system's, and nothing is moved."""
    folder = tmp_path / "runs"
    saved_twice(folder)
    (folder / "last.pt").chmod(0)

    def restore() -> str:
        os.chdir(folder)  # Those above are private.
        if os.getuid() == 0:
            folder.chmod(0o777)
            os.setuid(65534)
        with pytest.raises(PermissionError) as error:
            Checkpoint(Path(), {"model": make_model()}).restore()
        return str(error.value.filename)

    assert in_child(restore) == "last.pt"
    assert {path.name for path in folder.iterdir()} == {"last.pt", "last-1.pt"}


def test_a_lack_of_memory_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is moved."""
    saved_twice(tmp_path)

    def fail(*arguments: Any, **named: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(torch, "load", fail)
    with pytest.raises(MemoryError):
        Checkpoint(tmp_path, {"model": make_model()}).restore()
    assert {path.name for path in tmp_path.iterdir()} == {"last.pt", "last-1.pt"}


# --- Code -----------------------------------------------------------------


class Hostile:
    """Makes a file when it is unpickled without care."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self._path}",)


def hostile_files(made: Path) -> Iterator[bytes]:
    """Return a raw pickle, of several protocols, and an archive of torch's with one in it."""
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        yield pickle.dumps(Hostile(made), protocol)
    for content in (Hostile(made), {"parts": {"model": Hostile(made)}, "random_state": 1}):
        buffer = io.BytesIO()
        torch.save(content, buffer)
        yield buffer.getvalue()


def test_code_in_a_file_is_never_run(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    """A pickle that would run a command is refused in one line, with a right digest or without."""
    made, path = tmp_path / "made", tmp_path / "last.pt"
    for content in hostile_files(made):
        path.write_bytes(content + hashlib.sha256(content).digest())
        with pytest.raises(CheckpointError, match=r"last\.pt is no checkpoint of ours: ") as error:
            read_checkpoint(path)
        assert "\n" not in str(error.value)
        assert "weights_only" not in str(error.value), "no advice to run the code"
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="is damaged"):
            read_checkpoint(path)

    assert not made.exists()
    assert not recwarn.list, "one line is enough"
    torch.load(io.BytesIO(content), weights_only=False)
    assert made.exists(), "the pickle is a real one"


def test_a_file_with_code_is_moved_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And what it would have run is named."""
    saved_twice(tmp_path)
    *_, content = hostile_files(tmp_path / "made")
    (tmp_path / "last.pt").write_bytes(content + hashlib.sha256(content).digest())

    assert Checkpoint(tmp_path, {"model": make_model()}).restore().name == "last-1.pt"
    assert (
        "last.pt is no checkpoint of ours: it holds code or objects (posix.system)" in caplog.text
    )
    assert {path.name for path in tmp_path.iterdir()} == {"last.pt.damaged", "last-1.pt"}


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


def test_a_missing_file_is_a_missing_file(tmp_path: Path) -> None:
    """Not a damaged one."""
    with pytest.raises(FileNotFoundError):
        read_checkpoint(tmp_path / "missing.pt")


def test_a_file_of_something_else_is_not_restored(tmp_path: Path) -> None:
    """One that holds the right parts but no state of a run."""
    write_checkpoint(tmp_path / "last.pt", {"parts": {"trainer": 1}})

    with pytest.raises(CheckpointError, match="holds no state of a run"):
        Checkpoint(tmp_path, {"trainer": Engine(lambda engine, batch: None)}).restore()


# --- Helpers --------------------------------------------------------------


def make_model(value: float = 0.0) -> nn.Linear:
    """Make a small model of equal weights."""
    model = nn.Linear(6, 5)
    nn.init.constant_(model.weight, value)
    return model


def saved_twice(folder: Path) -> tuple[bytes, bytes]:
    """Save a model of ones and one of twos, and return the files."""
    for value in (1.0, 2.0):
        Checkpoint(folder, {"model": make_model(value)}).save()
    return (folder / "last-1.pt").read_bytes(), (folder / "last.pt").read_bytes()


def flipped(content: bytes, place: int, bit: int) -> bytes:
    """Change one bit."""
    return content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :]
