"""The examples in the documentation of metrics."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import scaffold_runtime
from scaffold_runtime import metrics

MODULES = [f"{metrics.__name__}.{module.name}" for module in pkgutil.iter_modules(metrics.__path__)]


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_are_true(module: str) -> None:
    """Every example of a metric gives what it says."""
    assert doctest.testmod(importlib.import_module(module)).failed == 0


@pytest.mark.parametrize("name", metrics.__all__)
def test_every_public_name_has_an_example(name: str) -> None:
    """Each public name of the metrics is importable from the top and shows its use."""
    assert getattr(scaffold_runtime, name) is getattr(metrics, name)
    assert name in scaffold_runtime.__all__
    assert ">>>" in getattr(metrics, name).__doc__
