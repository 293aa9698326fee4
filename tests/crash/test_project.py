"""A generated project's `train.py`, killed for real and resumed: the same run in the end."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import NewProject
from crash import driver
from crash.driver import Kill, Processes
from crash.projects import PRELOAD, command_line, differences, train

UPDATES = 17 * 4  # Of the weights, in a run of four epochs.
CASES: dict[str, dict[str, str]] = {
    "as it is": {},
    "perceptron": {"model": "mlp", "validate_every": "2"},
    "saved inside epochs": {"save_every": "7"},
    "saved at their ends": {"save_every": "17"},
    "in the background": {"save_every": "7", "save_in_background": "True"},
    "two workers": {"num_workers": "2", "save_every": "7"},
}


@pytest.fixture(scope="module")
def project(new_project: NewProject, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A supervised project."""
    return new_project("supervised", tmp_path_factory.mktemp("project") / "my-supervised")


@pytest.fixture(scope="module")
def processes(project: Path) -> Iterator[driver.ForkServer]:
    """Processes in which the project's runtime, and what it uses, is imported already."""
    with driver.ForkServer(project, preload=PRELOAD) as server:
        yield server


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_project_killed_anywhere_ends_as_if_it_had_been_left_alone(
    project: Path, processes: Processes, case: str
) -> None:
    """Killed after an update, while it writes, and at any time, its run has the same results."""
    options = command_line(project, CASES[case])
    if options is None:
        pytest.skip(f"the project lacks one of the settings {', '.join(CASES[case])}")
    chance = random.Random(case)
    name = case.replace(" ", "-")
    folder = project / "runs" / f"{name}-killed"
    kills = [
        Kill({"CRASH_AT_UPDATE": str(chance.randint(20, UPDATES // 2))}),
        Kill.at_operation(chance.randint(3, 60), folder),
        Kill(after=chance.uniform(0.2, 0.6)),
    ]

    train(processes, project, f"{name}-unbroken", options)
    killed = train(processes, project, f"{name}-killed", options, kills)

    assert killed >= 2
    assert differences(project, f"{name}-unbroken", f"{name}-killed") == []


@pytest.mark.slow
def test_a_project_in_processes_that_share_nothing(project: Path, processes: Processes) -> None:
    """The same with processes that Python starts anew, as a user's are."""
    options = command_line(project, {}) or []
    kills = [Kill({"CRASH_AT_UPDATE": "40"})]

    train(processes, project, "new-unbroken", options)
    killed = train(Processes(project), project, "new-killed", options, kills)

    assert killed == 1
    assert differences(project, "new-unbroken", "new-killed") == []
