"""The examples in the package's docstrings."""

from __future__ import annotations

import doctest
import importlib
import inspect
import logging
import pkgutil
import signal
import sys
from collections.abc import Iterator

import pytest

import scaffold_runtime

MODULES = ["scaffold_runtime"] + [
    module.name for module in pkgutil.walk_packages(scaffold_runtime.__path__, "scaffold_runtime.")
]


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What an example sets for its process is set back."""
    monkeypatch.setattr(sys, "argv", sys.argv)
    before = signal.getsignal(signal.SIGUSR1)
    yield
    signal.signal(signal.SIGUSR1, before)
    reports = logging.getLogger("scaffold_runtime")
    reports.handlers.clear()
    reports.setLevel(logging.NOTSET)


@pytest.mark.parametrize("name", MODULES)
def test_every_example_does_what_it_shows(name: str) -> None:
    """Each example of a module runs and prints what the docstring says."""
    results = doctest.testmod(importlib.import_module(name), report=True)

    assert results.failed == 0


def test_there_are_examples() -> None:
    """The test above has something to run."""
    finder = doctest.DocTestFinder()
    found = [
        example
        for name in MODULES
        for test in finder.find(importlib.import_module(name))
        for example in test.examples
    ]

    assert len(found) > 50


def test_every_public_name_says_what_it_is() -> None:
    """Whatever can be imported from the package has a docstring of its own."""
    for name in scaffold_runtime.__all__:
        assert inspect.getdoc(getattr(scaffold_runtime, name)), name


def test_the_public_names_are_those_that_are_listed() -> None:
    """Each once, and nothing that is missing."""
    names = scaffold_runtime.__all__

    assert len(names) == len(set(names))
    assert all(hasattr(scaffold_runtime, name) for name in names)
