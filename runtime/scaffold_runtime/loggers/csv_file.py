"""Metrics as a table of comma-separated values."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scaffold_runtime.files import write_whole
from scaffold_runtime.loggers.base import Logger
from scaffold_runtime.loggers.values import scalars
from scaffold_runtime.state import State

Row = dict[str, Any]


class CsvLogger(Logger):
    """
    Append one row for each logged event to a file that spreadsheets read.

    Its columns are `split`, `epoch`, `iteration` and every name that was logged. When
    a name comes up later, the file is written anew, whole, with one more column.

    >>> import tempfile
    >>> logger = CsvLogger(Path(tempfile.mkdtemp()) / "metrics.csv")
    >>> logger.log("train", State(), {"loss": 0.5})
    >>> logger.log("valid", State(), {"loss": 0.7, "accuracy": 0.9})
    >>> print(logger.path.read_text(), end="")
    split,epoch,iteration,loss,accuracy
    train,0,0,0.5,
    valid,0,0,0.7,0.9
    """

    def __init__(self, path: str | Path) -> None:
        """Append to this file, making it and its folder when the first row comes."""
        self.path = Path(path)
        self._columns: list[str] | None = None  # As in the file, once it was looked at.
        self._rows = 0

    def log(self, split: str, state: State, values: Mapping[str, Any]) -> None:
        row = {"split": split, "epoch": state.epoch, "iteration": state.iteration}
        row |= scalars(values)
        columns = self._look()
        if row.keys() <= set(columns):
            with self.path.open("a", encoding="utf-8", newline="") as file:
                _writer(file, columns).writerow(row)
        else:
            self._write(list(dict.fromkeys([*columns, *row])), [*self._read(), row])
        self._rows += 1

    def state_dict(self) -> dict[str, int]:
        """Return how many rows the file has."""
        self._look()
        return {"rows": self._rows}

    def load_state_dict(self, state_dict: Mapping[str, int]) -> None:
        """Cut off the rows that were written after the state was saved."""
        columns = self._look()
        if columns:
            self._rows = state_dict["rows"]
            self._write(columns, self._read()[: self._rows])

    def _look(self) -> list[str]:
        if self._columns is None:
            rows = self._read()
            self._columns, self._rows = list(rows[0]) if rows else [], len(rows)
        return self._columns

    def _read(self) -> list[Row]:
        if not self.path.exists():
            return []
        with self.path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def _write(self, columns: list[str], rows: list[Row]) -> None:
        table = io.StringIO()
        writer = _writer(table, columns)
        writer.writeheader()
        writer.writerows(rows)
        write_whole(self.path, table.getvalue().encode())
        self._columns = columns


def _writer(file: Any, columns: list[str]) -> csv.DictWriter[str]:
    return csv.DictWriter(file, columns, restval="", lineterminator="\n")
