"""The comparison notices when any one piece of the state is left out."""

from __future__ import annotations

from pathlib import Path

import pytest
from crash import comparison, driver, forgetting
from crash.comparison import last_iteration
from crash.conftest import Unbroken
from crash.driver import Kill, Processes

ALL = ("--accumulate", "4", "--ema", "--best", "3", "--scheduler", "cosine", "--save-every", "7")
STOPPED = ("--patience", "1", "--max-epochs", "40", "--save-every", "7")
CUTS = {ALL: 10, STOPPED: 5}  # Iterations before the end: in a window, in the last epoch.


@pytest.mark.parametrize("piece", forgetting.PIECES)
def test_a_forgotten_piece_is_noticed(
    processes: Processes, unbroken: Unbroken, tmp_path: Path, piece: str
) -> None:
    """A run that goes on with everything but this piece of its state differs from the unbroken."""
    options = STOPPED if piece == "stopping" else ALL
    kill = Kill.at(last_iteration(unbroken(*options)) - CUTS[options])

    killed = driver.run(processes, tmp_path / "killed", options, [kill], resume=("--forget", piece))

    assert killed.kills == 1
    assert comparison.differences(unbroken(*options), killed.folder) != []


@pytest.mark.parametrize("options", CUTS, ids=["all", "stopped"])
def test_with_no_piece_forgotten_nothing_is_noticed(
    processes: Processes, unbroken: Unbroken, tmp_path: Path, options: tuple[str, ...]
) -> None:
    """The same runs, with all of their state, equal the unbroken: each piece alone matters."""
    kill = Kill.at(last_iteration(unbroken(*options)) - CUTS[options])

    killed = driver.run(processes, tmp_path / "killed", options, [kill])

    assert comparison.differences(unbroken(*options), killed.folder) == []
