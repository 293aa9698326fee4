"""What all tests share: our checkout, and projects rendered from it as it stands."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
from crash import driver

from scaffold import project, releases

# One thread for all that is trained here, whichever process does it: with another number sums
# are rounded otherwise, and a process whose threads are at work must not be forked.
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session")
def surroundings() -> dict[str, str]:
    """Environment variables without Python's own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


@pytest.fixture(scope="session")
def forks(surroundings: dict[str, str]) -> Iterator[driver.ForkServer]:
    """Processes that have imported what projects import, but for their own modules."""
    with driver.ForkServer(preload=driver.LIBRARIES, environment=surroundings, limit=900) as server:
        yield server


class NewProject(Protocol):
    """Render a project from the templates as they stand in the checkout."""

    def __call__(self, template: str, folder: Path, **answers: str) -> Path: ...


@pytest.fixture(scope="session")
def repository() -> Path:
    """Our checkout."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def working_history(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A history with one release: templates and runtime as they stand in the checkout."""
    history = tmp_path_factory.mktemp("history")
    releases.write(releases.Release("0.0.1", releases.working_tree(repository)), history)
    return history


@pytest.fixture(scope="session")
def new_project(working_history: Path) -> NewProject:
    """Make projects from the checkout's templates: `new_project("supervised", folder)`."""

    def make(template: str, folder: Path, **answers: str) -> Path:
        settings = [f"{name}={value}" for name, value in answers.items()]
        made = project.create(
            str(folder),
            template,
            settings,
            defaults=True,
            repository=False,
            history=working_history,
        )
        return made.folder

    return make
