"""Tables: read from CSV files, checked, and standardised by what trains."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from scaffold_runtime import TableSet, UserError, class_weights, read_table_set
from scaffold_runtime.data import read_rows

ROWS = "a,b,kind,price\n" + "".join(
    f"{number},{-2 * number},{'odd' if number % 2 else 'even'},{100 + number}\n"
    for number in range(20)
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with two columns of numbers, one of names, and one of numbers to predict."""
    path = tmp_path / "rows.csv"
    path.write_text(ROWS)
    return path


def without(path: Path, column: int) -> Path:
    """Take a column out of a file."""
    lines = [line.split(",") for line in path.read_text().splitlines()]
    path.write_text("\n".join(",".join(line[:column] + line[column + 1 :]) for line in lines))
    return path


def test_names_become_labels(file: Path) -> None:
    """Classes are in alphabetical order, and every other column is a number to learn from."""
    table = read_table_set(file, "kind")

    assert (table.columns, table.class_names) == (["a", "b", "price"], ["even", "odd"])
    assert torch.equal(table.labels, torch.arange(20) % 2)
    assert table.rows[3].tolist() == [3.0, -6.0, 103.0]
    assert {name: len(rows) for name, rows in table.splits.items()} == {
        "train": 12,
        "valid": 4,
        "test": 4,
    }


def test_classes_that_are_numbers_are_in_their_order(file: Path) -> None:
    """The class 9 comes before 10."""
    file.write_text("a,kind\n" + "1,10\n2,9\n" * 5)

    assert read_table_set(file, "kind").class_names == ["9", "10"]


def test_what_trains_has_mean_nothing_and_deviation_one(file: Path) -> None:
    """Columns and numbers to predict; the other splits are moved by as much."""
    table = read_table_set(without(file, 2), "price", "regression")
    rows, targets = table.dataset("train").tensors
    some = table.dataset("test")[1]

    for values in (rows[:], targets[:]):
        assert torch.allclose(values.mean(dim=0), torch.zeros(values.shape[1]), atol=1e-6)
        assert torch.allclose(values.std(dim=0, unbiased=False), torch.ones(values.shape[1]))
    original = table.splits["test"][1]
    assert torch.allclose(some[0], table.standardise(table.rows[original]))
    assert torch.allclose(table.in_units(some[1]), table.labels[original])


def test_other_splits_standardise_otherwise(file: Path) -> None:
    """What trains is always what the statistics are of."""
    table = read_table_set(without(file, 2), "price", "regression")
    table.splits = {"train": torch.tensor([0, 2]), "test": torch.tensor([4])}

    row, target = table.dataset("test")[0]

    assert (row.tolist(), target.tolist()) == ([3.0, -3.0], [3.0])


def test_a_column_that_never_changes_is_nothing() -> None:
    """It has no deviation to be divided by."""
    table = TableSet(torch.ones(5, 1), torch.arange(5) % 2, ["a"], ["no", "yes"])

    assert table.dataset("train").tensors[0][:].tolist() == [[0.0]] * 3


def test_rows_to_predict_may_have_other_columns(file: Path) -> None:
    """Those that are asked for are read, in this order."""
    assert read_rows(file, ["price", "a"])[4].tolist() == [104.0, 4.0]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("a,b\n", "has no rows under its first line"),
        ("", "has no rows under its first line"),
        ("a,a\n1,2\n", "has two columns 'a'"),
        ("a,y\n1,2\n1\n", "has 1 values in line 3, but 2 columns"),
        ("a,y\n1,2\n\nred,2\n" + "1,3\n" * 4, "has 'red' in line 4, column 'a': that is not a"),
        ("a,y\n" + ",2\n" * 6, "has '' in line 2, column 'a': that is not a number"),
        ("a,y\nnan,2\n" + "1,3\n" * 5, "has 'nan' in line 2, column 'a': that is not a number"),
        ("a;y\n1;2\n" * 6, "has no column 'y' to predict; it has a;y"),
        ("a,y\n1,2\n", "needs 5 rows or more"),
        ("y\n" + "1\n" * 9, "a column besides 'y'"),
        ("a,y\n" + "".join(f"1,{n}\n" for n in range(9)), "y in .* has 9 different values in 9"),
        ("a,y\n" + "1,2\n" * 9, "y in .* has 1 different values in 9 rows"),
    ],
)
def test_what_is_no_table_is_refused(file: Path, content: str, complaint: str) -> None:
    """One line names the file, and the line and column where there is one."""
    file.write_text(content)

    with pytest.raises(UserError, match=complaint) as refused:
        read_table_set(file, "y")

    assert "\n" not in str(refused.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Missing, or not text."""
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")

    for name in ("missing.csv", "bytes.csv"):
        with pytest.raises(UserError, match=rf"{name} cannot be read as a CSV file"):
            read_table_set(tmp_path / name, "y")


def test_weights_give_classes_the_same_share() -> None:
    """However often each occurs, its samples weigh as much together as those of another."""
    labels = torch.tensor([0] * 6 + [1] * 3 + [3])
    weights = class_weights(labels, classes=5)[labels]

    totals = [float(weights[labels == label].sum()) for label in (0, 1, 3)]
    assert totals == pytest.approx([2.0, 2.0, 2.0])
    assert class_weights(labels, classes=5)[2] == 0.0
