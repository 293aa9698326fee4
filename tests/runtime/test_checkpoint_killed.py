"""Saves that are killed: two complete states stay, and the next process copes with what is left."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from children import is_killed_at

from scaffold_runtime import (
    Checkpoint,
    CheckpointError,
    Engine,
    UserError,
    read_checkpoint,
)
from scaffold_runtime.checkpoints import archive, checkpoint, generations

# --- What is promised -----------------------------------------------------


@pytest.mark.parametrize("earlier", [0, 1, 2, 3])
def test_a_save_killed_anywhere_leaves_two_complete_states(tmp_path: Path, earlier: int) -> None:
    """Killed before each operation on files in turn, also between two parts of a file."""
    assert check_all_kills(tmp_path, earlier) > 10


def test_so_does_a_save_killed_in_the_background(tmp_path: Path) -> None:
    """The thread does the same, and the process dies with it."""
    assert check_all_kills(tmp_path, earlier=2, background=True) > 10


def test_a_save_after_a_killed_one_may_be_killed_as_well(tmp_path: Path) -> None:
    """Whatever the first left: a gap in the names, a file too many, a leftover."""
    for first in count(1):
        begun = tmp_path / f"first {first}"
        save(begun, 1, 2, 3)
        killed = is_killed_at(first, begun, lambda begun=begun: save(begun, 4), writes=False)
        newest = complete(begun)[0]
        for second in count(1):
            folder = shutil.copytree(begun, tmp_path / f"{first} {second}")
            again = is_killed_at(second, folder, lambda folder=folder: save(folder, 5), False)
            assert complete(folder)[:2] in ([5, newest], [newest, newest - 1])
            check_what_follows(folder, (newest, 5))
            if not again:
                break
        if not killed:
            break

    assert (first, second) > (6, 6)


def test_two_complete_states_stay_when_restoring_is_killed(tmp_path: Path) -> None:
    """Between moving a damaged file aside and whatever comes next."""
    for nth in count(1):
        folder = tmp_path / str(nth)
        save(folder, 1, 2, 3, n_saved=3)
        (folder / "last.pt").write_bytes(b"damaged")
        killed = is_killed_at(nth, folder, lambda folder=folder: restored(folder))
        assert complete(folder) == [2, 1]
        check_what_follows(folder, (2,))
        if not killed:
            break

    assert nth > 1


# --- The checks see what is wrong -----------------------------------------


@contextmanager
def write_in_place(path: Path, make_room: Callable[[], None]) -> Iterator[BinaryIO]:
    """Write over the file that is there."""
    with path.open("wb") as file:
        yield file


def age_over_the_oldest(files: generations.Generations) -> None:
    """Overwrite the oldest before the newest has its name."""
    saved = files._saved()
    for age in sorted(saved, reverse=True):
        saved[age].replace(files._path(min(age + 1, files._n_kept - 1)))


def remove_first(files: generations.Generations) -> None:
    """Remove the oldest before the newest has its name."""
    saved = files._saved()
    if len(saved) >= files._n_kept:
        saved[max(saved)].unlink()
    for age in sorted(files._saved(), reverse=True):
        saved[age].replace(files._path(age + 1))


def read_only_the_first(files: generations.Generations) -> tuple[Path, dict[str, Any]]:
    """Look at no other file."""
    return files.newest, read_checkpoint(files.newest)


FAULTS = {
    "in place": (archive, "whole_file", write_in_place),
    "aged over the oldest": (generations.Generations, "_make_room", age_over_the_oldest),
    "removed first": (generations.Generations, "_make_room", remove_first),
    "no fallback": (generations.Generations, "read_newest", read_only_the_first),
    "leftovers stay": (checkpoint, "remove_leftovers", lambda folder: None),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_writing_would_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """The check of the first test fails under each fault that is planted."""
    monkeypatch.setattr(*FAULTS[fault])

    with pytest.raises((AssertionError, UserError, FileNotFoundError)):
        check_all_kills(tmp_path, earlier=3)


# --- Helpers --------------------------------------------------------------


def check_all_kills(folder: Path, earlier: int, background: bool = False) -> int:
    """Save so often, kill the next save at each of its operations, and return how many it has."""
    begun = folder / "begun"
    begun.mkdir()
    save(begun, *range(1, earlier + 1))
    last, new = earlier, earlier + 1
    for nth in count(1):
        killed_folder = shutil.copytree(begun, folder / str(nth))
        killed = is_killed_at(
            nth,
            killed_folder,
            lambda there=killed_folder: save(there, new, background=background),
        )
        expected = ([new, last], [last, last - 1]) if last > 1 else ([], [1], [2, 1])
        found = complete(killed_folder)
        assert found[:2] in expected
        assert not found or found[0] >= last, "what was saved is gone"
        if found:
            check_what_follows(killed_folder, (last, new))
        if not killed:
            return nth
    raise AssertionError("no end of operations")


def check_what_follows(folder: Path, expected: tuple[int, ...]) -> None:
    """Check that the next process restores the newest state, tidies up, and saves."""
    newest = complete(folder)[0]
    assert restored(folder) == newest
    assert newest in expected
    assert not list(folder.glob(".*"))
    save(folder, 9)
    assert complete(folder) == [9, newest]
    assert restored(folder) == 9
    assert {path.name for path in folder.glob("*.pt")} == {"last.pt", "last-1.pt"}


def save(folder: Path, *iterations: int, n_saved: int = 2, background: bool = False) -> None:
    """Save the state of an engine in each of these iterations."""
    engine = Engine(lambda engine, batch: None)
    saving = Checkpoint(folder, {"trainer": engine}, n_saved, background=background)
    for iteration in iterations:
        engine.state.iteration = iteration
        saving.save()
    saving.wait()


def restored(folder: Path) -> int:
    """Return the iteration that an engine is in when it is restored."""
    engine = Engine(lambda engine, batch: None)
    Checkpoint(folder, {"trainer": engine}).restore()
    return engine.state.iteration


def complete(folder: Path) -> list[int]:
    """Return the iterations of all complete files, the newest first."""
    found = []
    for path in folder.glob("*.pt"):
        try:
            found.append(read_checkpoint(path)["parts"]["trainer"]["iteration"])
        except CheckpointError:
            continue
    return sorted(found, reverse=True)
