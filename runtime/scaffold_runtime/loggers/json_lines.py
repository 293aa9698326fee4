"""Metrics as lines of JSON."""

from __future__ import annotations

import errno
import json
import logging
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from scaffold_runtime.loggers.base import Logger
from scaffold_runtime.state import State

logger = logging.getLogger(__name__)


class JsonLinesLogger(Logger):
    """
    Append one object for each logged event to a file.

    Each has `split`, `epoch` and `iteration`, and the values under their names.
    Numbers that JSON does not know, NaN and infinity, are written as null.

    >>> import tempfile
    >>> logger = JsonLinesLogger(Path(tempfile.mkdtemp()) / "metrics.jsonl")
    >>> logger.log("valid", State(), {"accuracy": 0.5})
    >>> logger.path.read_text()
    '{"split": "valid", "epoch": 0, "iteration": 0, "accuracy": 0.5}\\n'
    """

    def __init__(self, path: str | Path) -> None:
        """Append to this file, making it and its folder when the first line comes."""
        self.path = Path(path)

    def log(self, split: str, state: State, values: Mapping[str, Any]) -> None:
        """
        Append a line; values that are tensors are read now, and wait for their device.

        A disk that is full costs the line, which is reported, and not the run.
        """
        numbers = {name: _plain(value) for name, value in values.items()}
        line = {"split": split, "epoch": state.epoch, "iteration": state.iteration, **numbers}
        try:
            self._append((json.dumps(line, allow_nan=False) + "\n").encode())
        except OSError as error:
            logger.error("%s could not be written: %s; the run goes on", self.path, error.strerror)

    def state_dict(self) -> dict[str, int]:
        """Return how long the file is."""
        return {"size": self.path.stat().st_size if self.path.exists() else 0}

    def load_state_dict(self, state_dict: Mapping[str, int]) -> None:
        """Cut off the lines that were written after the state was saved."""
        if self.path.exists() and self.path.stat().st_size > state_dict["size"]:
            with self.path.open("r+b") as file:
                file.truncate(state_dict["size"])

    def _append(self, line: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab", buffering=0) as file:
            size = file.tell()
            if file.write(line) < len(line):
                file.truncate(size)  # Half a line would spoil the next one.
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """
    Return the objects of a file, leaving out a last line that was not finished.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "metrics.jsonl"
    >>> size = path.write_text('{"loss": 0.5}\\n{"loss": 0.')
    >>> read_json_lines(path)
    [{'loss': 0.5}]
    """
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.endswith("\n")]


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
