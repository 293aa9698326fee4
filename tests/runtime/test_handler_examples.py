"""The examples in the docstrings of handlers, loggers and what goes with them."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = [
    "best_checkpoint",
    "checkpoint",
    "handlers.device_stats",
    "handlers.early_stopping",
    "handlers.ema",
    "handlers.lr_finder",
    "handlers.lr_scheduler",
    "handlers.model_summary",
    "handlers.profiler",
    "handlers.terminate_on_nan",
    "handlers.time_limit",
    "handlers.timer",
    "intervals",
    "loggers.base",
    "loggers.csv_file",
    "loggers.json_lines",
    "loggers.values",
    "trainers",
    "updates",
]


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_give_what_they_show(module: str) -> None:
    """Every example in a docstring runs and prints what stands there."""
    results = doctest.testmod(importlib.import_module(f"scaffold_runtime.{module}"))
    assert results.attempted
    assert not results.failed
