"""Metrics as lines of JSON: what is written, read, and taken back."""

from __future__ import annotations

import json
import math
import resource
from pathlib import Path
from typing import Any

import pytest
import torch

from scaffold_runtime import Engine, Events, JsonLinesLogger, State, read_json_lines


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.5, 0.5),
        (3, 3),
        (torch.tensor(0.25), 0.25),
        (torch.tensor([1.0, math.nan]), [1.0, None]),
        (torch.tensor([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (math.nan, None),
        (-math.inf, None),
        ((1.0, math.inf), [1.0, None]),
        ({"a": torch.tensor(1.0), "b": math.nan}, {"a": 1.0, "b": None}),
        ("word", "word"),
    ],
    ids=str,
)
def test_every_line_is_strict_json(tmp_path: Path, value: Any, written: Any) -> None:
    """Numbers and tensors are written as numbers, what JSON does not know as null."""
    logger = JsonLinesLogger(tmp_path / "new" / "metrics.jsonl")
    logger.log("valid", State(epoch=2, iteration=7), {"value": value})

    line = logger.path.read_text(encoding="utf-8")
    strict = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert strict == {"split": "valid", "epoch": 2, "iteration": 7, "value": written}
    assert line.count("\n") == 1


def test_attached_it_logs_metrics_when_the_event_happens(tmp_path: Path) -> None:
    """All of them or those that are named, under the split's name, until taken off."""
    engine, logger = Engine(lambda engine, batch: batch), JsonLinesLogger(tmp_path / "metrics")
    engine.state.metrics.update(loss=0.5, accuracy=0.9)
    logger.attach_output_handler(engine, Events.ITERATION_COMPLETED(every=2), "train", ["loss"])
    handle = logger.attach_output_handler(engine, Events.EPOCH_COMPLETED, "all")
    engine.run([0, 1, 2])
    handle.remove()
    engine.run([0])

    assert read_json_lines(logger.path) == [
        {"split": "train", "epoch": 1, "iteration": 2, "loss": 0.5},
        {"split": "all", "epoch": 1, "iteration": 3, "loss": 0.5, "accuracy": 0.9},
    ]


def test_a_resumed_run_takes_back_what_was_logged_after_its_checkpoint(tmp_path: Path) -> None:
    """Also half of a line: the file is as it was when the state was saved."""
    logger = JsonLinesLogger(tmp_path / "metrics.jsonl")
    assert logger.state_dict() == {"size": 0}
    logger.log("train", State(), {"loss": 1.0})
    saved, content = logger.state_dict(), logger.path.read_bytes()
    logger.log("train", State(), {"loss": 0.5})
    with logger.path.open("a") as file:
        file.write('{"split": "tr')
    JsonLinesLogger(logger.path).load_state_dict(saved)

    assert logger.path.read_bytes() == content


def test_loading_without_the_file_does_nothing(tmp_path: Path) -> None:
    """A run whose metrics were moved away logs into a new file."""
    logger = JsonLinesLogger(tmp_path / "metrics.jsonl")
    logger.load_state_dict({"size": 100})

    assert not logger.path.exists()


def test_a_last_line_that_was_not_finished_is_left_out(tmp_path: Path) -> None:
    """A file that is being written can be read."""
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"loss": 1.0}\n{"loss": 0.')

    assert read_json_lines(path) == [{"loss": 1.0}]


def test_a_full_disk_costs_a_line_and_not_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The file keeps whole lines only, and what comes when there is room again is written."""
    logger = JsonLinesLogger(tmp_path / "metrics.jsonl")
    logger.log("train", State(), {"loss": 1.0})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (logger.path.stat().st_size + 10, before[1]))
    try:
        logger.log("train", State(), {"loss": 2.0})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    logger.log("train", State(), {"loss": 3.0})

    assert [line["loss"] for line in read_json_lines(logger.path)] == [1.0, 3.0]
    assert f"{logger.path} could not be written" in caplog.text
