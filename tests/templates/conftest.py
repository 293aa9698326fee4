"""A supervised project as a user gets it, and the same one after its first run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest
from conftest import NewProject
from crash import driver

Ended = subprocess.CompletedProcess[str]


class Python(Protocol):
    """Run one of a project's programs in its folder: `python(project, "train.py", ...)`."""

    def __call__(self, project: Path, *arguments: str, pictures: bool = False) -> Ended: ...


class Trained(NamedTuple):
    """A project and what its first run, with the default settings, printed."""

    project: Path
    ended: Ended


@pytest.fixture(scope="session")
def python(surroundings: dict[str, str], forks: driver.ForkServer) -> Python:
    """
    Run a project's programs in forks; modules (`-m`) and code (`-c`) in new processes.

    The pictures of a report are empty in forks, unless they are asked for: their drawing
    takes longer than a small run.
    """

    def run(project: Path, *arguments: str, pictures: bool = False) -> Ended:
        if arguments[0].startswith("-"):
            return subprocess.run(
                [sys.executable, *arguments],
                cwd=project,
                env=surroundings,
                capture_output=True,
                encoding="utf-8",
                check=False,
            )
        asked = {} if pictures else {driver.NO_PICTURES: "1"}
        now = surroundings | asked  # Not before: a test may have changed them.
        return forks.completed(arguments, project, now)

    return run


@pytest.fixture
def supervised(new_project: NewProject, tmp_path: Path) -> Path:
    """A supervised project of this test's own."""
    return new_project("supervised", tmp_path / "my-supervised")


@pytest.fixture(scope="session")
def trained(
    new_project: NewProject, python: Python, tmp_path_factory: pytest.TempPathFactory
) -> Trained:
    """A project whose default run is over; tests only look at it."""
    project = new_project("supervised", tmp_path_factory.mktemp("trained") / "my-supervised")
    return Trained(project, python(project, "train.py", pictures=True))
