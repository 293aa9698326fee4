"""The plain programs that the templates are measured beside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from templates.conftest import Python

# What is trained on instead, where an epoch of everything takes a minute.
SHORTER = {"tbptt": "TRAIN = 'argparse'"}
PROGRAMS = sorted((Path(__file__).resolve().parents[2] / "benchmarks" / "plain").glob("*.py"))

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_it_trains_and_logs_as_the_template_does(
    program: Path, python: Python, tmp_path: Path
) -> None:
    """An epoch leaves lines of training and validation with finite numbers."""
    command = [str(program)]
    if shorter := SHORTER.get(program.stem):
        name = program.stem
        code = f"import sys; sys.path.insert(0, {str(program.parent)!r}); import {name}"
        command = ["-c", f"{code}; {name}.{shorter}; {name}.main()"]

    ended = python(tmp_path, *command, "--max-epochs", "1")

    assert ended.returncode == 0, ended.stderr
    (log,) = (tmp_path / "runs").rglob("metrics.jsonl")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {"train", "valid"} <= {line["split"] for line in lines}
