"""Tables of numbers: rows of a CSV file, of which one column is to be predicted."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from scaffold_runtime.data.datasets import InMemoryDataset
from scaffold_runtime.data.fingerprint import Fingerprint
from scaffold_runtime.data.splits import Splits, split_samples
from scaffold_runtime.errors import UserError


class TableSet:
    """
    Rows of numbers with their targets: labels, or numbers.

    What a data set of it has is standardised: less the mean of the training split,
    divided by its standard deviation, column by column; numbers to predict, too.

    >>> table = TableSet(torch.tensor([[1.0], [3.0]]), torch.tensor([0, 1]), ["x"], ["no", "yes"])
    >>> table.splits = {"train": torch.tensor([0, 1])}
    >>> table.dataset("train").tensors
    (tensor([[-1.],
            [ 1.]]), tensor([0, 1]))
    """

    def __init__(
        self, rows: Tensor, targets: Tensor, columns: list[str], class_names: list[str]
    ) -> None:
        """
        Args:
            rows: Of shape `(N, columns)`.
            targets: Labels `(N,)`, or numbers `(N, 1)`.
            columns: Their names.
            class_names: One for each label; none for numbers.
        """
        self.rows = rows
        self.labels = targets
        self.columns = columns
        self.class_names = class_names
        self.shape = (len(columns),)
        self.splits = split_samples(len(rows))

    @property
    def splits(self) -> Splits:
        """Indices of rows by "train", "valid" and "test"; the first standardises all of them."""
        return self._splits

    @splits.setter
    def splits(self, splits: Splits) -> None:
        self._splits = splits
        self._of_rows = _spread(self.rows[splits["train"]])
        if not self.class_names:
            self._of_targets = _spread(self.labels[splits["train"]])

    @property
    def fingerprint(self) -> Fingerprint:
        """Of all rows, targets and splits."""
        names = [*self.columns, *self.class_names]
        return Fingerprint(self.rows, self.labels, names, *self.splits.values())

    def standardise(self, rows: Tensor) -> Tensor:
        """Return rows as a model gets them."""
        mean, deviation = self._of_rows
        return (rows - mean) / deviation

    def in_units(self, targets: Tensor) -> Tensor:
        """Return standardised numbers `(N, 1)` as the file has them."""
        mean, deviation = (value.to(targets.device) for value in self._of_targets)
        return targets * deviation + mean

    def dataset(
        self, split: str, transform: Callable[[Tensor], Tensor] | None = None
    ) -> InMemoryDataset:
        """Return a split as (rows, targets), standardised, except for labels."""
        chosen = self.splits[split]
        targets = self.labels[chosen]
        if not self.class_names:
            mean, deviation = self._of_targets
            targets = (targets - mean) / deviation
        return InMemoryDataset(self.standardise(self.rows[chosen]), targets, transform=transform)


def read_table_set(
    path: Path,
    target: str,
    task: Literal["classification", "regression"] = "classification",
    seed: int = 0,
) -> TableSet:
    """
    Read a CSV file with the names of its columns on the first line.

    All columns but the target must hold numbers. The seed splits the rows: three
    fifths to train, a fifth to validate, a fifth to test.

    Raises:
        UserError: The file cannot be read, has no such column, or a value is no number.
    """
    file = _read_file(path)
    if target not in file.header:
        raise UserError(
            f"{path} has no column {target!r} to predict; it has {_listed(file.header)}"
        )
    columns = [name for name in file.header if name != target]
    if not columns or len(file.lines) < 5:
        raise UserError(f"{path} needs 5 rows or more, and a column besides {target!r}")
    rows = file.numbers(columns)
    if task == "regression":
        table = TableSet(rows, file.numbers([target]), columns, [])
    else:
        labels, class_names = file.labels(target)
        table = TableSet(rows, labels, columns, class_names)
    table.splits = split_samples(len(rows), seed)
    return table


def read_rows(path: Path, columns: Sequence[str]) -> Tensor:
    """
    Return these columns `(N, columns)` of a CSV file, whatever others it has.

    Raises:
        UserError: The file cannot be read, lacks a column, or a value is no number.
    """
    file = _read_file(path)
    if missing := [name for name in columns if name not in file.header]:
        raise UserError(f"{path} has no column {missing[0]!r}; it has {_listed(file.header)}")
    return file.numbers(columns)


class _File(NamedTuple):
    path: Path
    header: list[str]
    lines: list[tuple[int, list[str]]]  # Each with its number, from 1.

    def numbers(self, columns: Sequence[str]) -> Tensor:
        """Return these columns, `(N, columns)`."""
        places = [self.header.index(name) for name in columns]
        return torch.tensor(
            [[self._number(number, line, place) for place in places] for number, line in self.lines]
        )

    def labels(self, column: str) -> tuple[Tensor, list[str]]:
        """Return labels `(N,)`, and the names of the classes in the order of the labels."""
        place = self.header.index(column)
        texts = [line[place].strip() for _, line in self.lines]
        names = sorted(set(texts), key=_by_number)
        if not 1 < len(names) <= len(texts) / 2:
            raise UserError(
                f"{column} in {self.path} has {len(names)} different values in {len(texts)} rows, "
                "which is no classification; for numbers there is --task regression"
            )
        label_of = {name: label for label, name in enumerate(names)}
        return torch.tensor([label_of[text] for text in texts]), names

    def _number(self, number: int, line: list[str], place: int) -> float:
        try:
            value = float(line[place])
        except ValueError:
            value = math.nan
        if math.isfinite(value):
            return value
        raise UserError(
            f"{self.path} has {line[place]!r} in line {number}, column {self.header[place]!r}: "
            "that is not a number"
        )


def _read_file(path: Path) -> _File:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            lines = [(reader.line_num, line) for line in reader if line]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        is_text = not isinstance(error, UnicodeDecodeError)
        reason = getattr(error, "strerror", None) or (error if is_text else "it is no text")
        raise UserError(f"{path} cannot be read as a CSV file: {str(reason).lower()}") from None
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise UserError(f"{path} has two columns {twice!r}")
    if not lines:
        raise UserError(f"{path} has no rows under its first line")
    for number, line in lines:
        if len(line) != len(header):
            values = f"{len(line)} values in line {number}"
            raise UserError(f"{path} has {values}, but {len(header)} columns")
    return _File(path, header, lines)


def _spread(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each column; of a constant one, 1."""
    deviation = values.std(dim=0, unbiased=False)
    return values.mean(dim=0), torch.where(deviation > 0, deviation, 1.0)


def _by_number(text: str) -> tuple[float, str]:
    try:
        return float(text), text
    except ValueError:
        return math.inf, text


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:12])
    return shown + ", ..." if len(names) > 12 else shown
