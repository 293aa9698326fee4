"""Killed while it writes: at every single change of its folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from crash import comparison, driver
from crash.comparison import load
from crash.conftest import Unbroken
from crash.driver import Kill, Processes

from scaffold_runtime import CheckpointError, read_checkpoint

OPTIONS = ("--save-every", "13", "--best", "2", "--max-epochs", "3")


@pytest.mark.slow
def test_a_run_killed_at_any_operation_ends_the_same(
    processes: Processes, unbroken: Unbroken, tmp_path: Path
) -> None:
    """
    Before each operation, and in the middle of each write, from the second save to the end.

    At any moment two complete states are there, and no file that is not whole.
    """
    failures = {}
    for number in operations(processes, tmp_path / "traced"):
        folder = tmp_path / f"killed-{number:g}"
        if found := after(processes, unbroken(*OPTIONS), folder, number):
            failures[number] = found

    assert failures == {}


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["in place", "remove first"])
def test_a_fault_in_the_writing_is_found(
    processes: Processes, unbroken: Unbroken, tmp_path: Path, fault: str
) -> None:
    """Checkpoints that are written under their own names, or alone, do not pass the test above."""
    options = (*OPTIONS, "--fault", fault)
    for number in operations(processes, tmp_path / "traced", *options, on="last"):
        folder = tmp_path / f"killed-{number:g}"
        if after(processes, unbroken(*OPTIONS), folder, number, options):
            return
    pytest.fail("no kill has found it")


@pytest.mark.slow
@pytest.mark.parametrize("fault", [None, "no fallback"])
def test_the_state_before_a_damaged_one_is_as_good(
    processes: Processes, unbroken: Unbroken, tmp_path: Path, fault: str | None
) -> None:
    """With half of the newest state gone, a run ends the same; without a fallback it cannot."""
    newest = tmp_path / "killed" / "run" / "checkpoints" / "last.pt"

    def damage() -> None:
        os.truncate(newest, newest.stat().st_size // 2)

    def go_on() -> None:
        resume = ("--fault", fault) if fault else ()
        kills = [Kill.at(30)]
        driver.run(processes, tmp_path / "killed", OPTIONS, kills, resume, between=damage)

    if fault:
        with pytest.raises(driver.Failed):
            go_on()
        return
    go_on()

    ours, theirs = (
        load(folder / "final.pt") for folder in (tmp_path / "killed", unbroken(*OPTIONS))
    )
    for part in ("model", "optimizer", "random_state", "metrics"):
        assert comparison.content_differences(theirs[part], ours[part]) == []


def operations(processes: Processes, folder: Path, *options: str, on: str = "") -> Iterator[float]:
    """Yield the numbers of the operations from the second save on, and of the half ones."""
    trace = folder.parent / "trace"
    environment = {"CRASH_TRACE": str(trace), "CRASH_FOLDER": str(folder / "run")}
    driver.run(processes, folder, options or OPTIONS, [Kill(environment)])
    _, _, lines = trace.read_text().partition("saved 2\n")
    for line in lines.splitlines():
        number, halves, *_ = line.split()
        if number == "saved" or on not in line or "os.mkdir ." in line:
            continue
        yield float(number)
        if halves == "half":
            yield float(number) + 0.5


def after(
    processes: Processes,
    unbroken: Path,
    folder: Path,
    operation: float,
    options: tuple[str, ...] = OPTIONS,
) -> list[str]:
    """Return what is wrong with a run that was killed at an operation: then, or in the end."""
    kill = Kill.at_operation(operation, folder / "run")
    at_the_kill: list[str] = []
    try:
        driver.run(
            processes, folder, options, [kill], between=lambda: at_the_kill.extend(broken(folder))
        )
    except driver.Failed as failure:
        return [str(failure)]
    return at_the_kill + comparison.differences(unbroken, folder)


def broken(folder: Path) -> list[str]:
    """Return the files that are not whole, and whether there are less than two whole states."""
    found, states = [], set()
    for path in (folder / "run" / "checkpoints").glob("*.pt"):
        try:
            read_checkpoint(path)
        except CheckpointError as error:
            found.append(str(error))
            continue
        if not path.name.startswith("best_"):
            states.add(path.read_bytes())
    return found if len(states) >= 2 else [*found, f"complete states: {len(states)}"]
