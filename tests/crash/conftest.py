"""What the crash tests share: processes that start fast, and runs that were left alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
from crash import driver


class Unbroken(Protocol):
    """The folder of the program's run with these options, which nothing interrupted."""

    def __call__(self, *options: str) -> Path: ...


@pytest.fixture(scope="session")
def processes() -> Iterator[driver.ForkServer]:
    """Processes that have imported torch already."""
    with driver.ForkServer() as server:
        yield server


@pytest.fixture(scope="session")
def unbroken(processes: driver.Processes, tmp_path_factory: pytest.TempPathFactory) -> Unbroken:
    """Runs that were left alone, each made once."""
    made: dict[tuple[str, ...], Path] = {}

    def make(*options: str) -> Path:
        if options not in made:
            folder = tmp_path_factory.mktemp("unbroken") / "run"
            made[options] = driver.run(processes, folder, options).folder
        return made[options]

    return make
