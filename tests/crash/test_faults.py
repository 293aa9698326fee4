"""Runs that end by a fault of their own go on like those that are killed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from crash import comparison, driver
from crash.conftest import Unbroken
from crash.driver import PROGRAM, Kill, Processes

SAVED = ("--save-every", "7", "--ema")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        (("--trap", "exception@50"), "ValueError: sample 50 cannot be read"),
        (("--trap", "exception@50", "--workers", "2"), "ValueError: sample 50 cannot be read"),
        (("--trap", "worker@50", "--workers", "2"), "DataLoader worker"),
        (("--raise-at", "33"), "RuntimeError: the handler of iteration 33 failed"),
    ],
    ids=["data", "data in a worker", "worker killed", "handler"],
)
def test_a_run_that_failed_goes_on_to_the_same_end(
    processes: Processes,
    unbroken: Unbroken,
    tmp_path: Path,
    fault: tuple[str, ...],
    complaint: str,
) -> None:
    """The process says what failed and exits with an error; the next one goes on exactly."""
    failed = [str(PROGRAM), str(tmp_path), *SAVED, *fault]

    statuses = [processes.run(failed, tmp_path), processes.run([*failed, "--resume"], tmp_path)]

    output = (tmp_path / "output").read_text()
    assert statuses == [1, 0], output
    assert re.search(complaint, output), output
    assert comparison.differences(unbroken(*SAVED), tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "kill", [Kill.at(29), Kill.at(34), Kill.at_save(5)], ids=["before", "after", "saved"]
)
def test_a_loss_of_nan_ends_a_killed_run_where_it_ends_the_unbroken(
    processes: Processes, unbroken: Unbroken, tmp_path: Path, kill: Kill
) -> None:
    """NaN in iteration 33, seen in 36, saved in between: whatever is killed, 36 is the last."""
    options = (*SAVED, "--nan-at", "33")

    killed = driver.run(processes, tmp_path / "killed", options, [kill])

    assert killed.kills == 1
    assert comparison.differences(unbroken(*options), killed.folder) == []
    assert "the output is not finite at iteration 36" in killed.output
