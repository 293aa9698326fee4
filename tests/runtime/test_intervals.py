"""Intervals, and checkpoints at them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scaffold_runtime import (
    Checkpoint,
    Engine,
    Events,
    Interval,
    UserError,
    parse_duration,
    parse_interval,
    read_checkpoint,
)
from scaffold_runtime import intervals as module


@pytest.mark.parametrize(
    ("text", "interval"),
    [
        (1000, Interval(1000, "iterations")),
        ("1000", Interval(1000, "iterations")),
        ("20it", Interval(20, "iterations")),
        ("iteration", Interval(1, "iterations")),
        ("2ep", Interval(2, "epochs")),
        ("epoch", Interval(1, "epochs")),
        ("45s", Interval(45, "seconds")),
        ("10min", Interval(600, "seconds")),
        ("1.5 h", Interval(5400, "seconds")),
        (Interval(3, "epochs"), Interval(3, "epochs")),
    ],
)
def test_an_interval_is_iterations_epochs_or_time(text: Any, interval: Interval) -> None:
    """One grammar for all of them."""
    assert parse_interval(text) == interval


@pytest.mark.parametrize(
    "text", ["", "ten", "0", 0, -5, "-2ep", "3 weeks", "1e3", True, 2.5, "1.5ep"]
)
def test_what_is_no_interval_is_refused_in_one_line(text: Any) -> None:
    """The message shows what was given; a person reads it without a traceback."""
    with pytest.raises(UserError) as caught:
        parse_interval(text)
    assert str(text) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_duration_is_not_counted_in_epochs() -> None:
    """A plain number is seconds, and only times are durations."""
    assert (parse_duration(90), parse_duration("90"), parse_duration("1.5min")) == (90, 90, 90)
    with pytest.raises(UserError, match="epochs"):
        parse_duration("2ep")


def saved_iterations(folder: Path, every: str | int) -> list[int]:
    """Run two epochs of six iterations, half a minute each, and return where it was saved."""
    engine = Engine(lambda engine, batch: None)
    checkpoint = Checkpoint(folder, {"trainer": engine})
    checkpoint.attach(engine, every=every)
    saved = []

    @engine.on(Events.ITERATION_COMPLETED | Events.EPOCH_COMPLETED)
    def look_afterwards() -> None:
        engine.call_afterwards(look)

    def look() -> None:
        if (newest := folder / "last.pt").exists():
            saved.append(read_checkpoint(newest)["parts"]["trainer"]["iteration"])

    engine.run(range(6), max_epochs=2)
    return sorted(set(saved))


@pytest.mark.parametrize(
    ("every", "expected"),
    [(4, [4, 8, 12]), ("1ep", [6, 12]), ("2ep", [12]), ("2min", [5, 9])],
)
def test_checkpoints_come_every_few_iterations_epochs_or_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: str | int, expected: list[int]
) -> None:
    """`Checkpoint.attach` saves where the interval says."""
    times = iter(range(0, 10_000, 30))
    monkeypatch.setattr(module, "monotonic", lambda: next(times))
    assert saved_iterations(tmp_path, every) == expected


def test_the_last_ones_are_kept(tmp_path: Path) -> None:
    """`n_saved` states are on disk, the newest as `last.pt`."""
    engine = Engine(lambda engine, batch: None)
    Checkpoint(tmp_path, {"trainer": engine}, n_saved=3).attach(engine, every=1)
    engine.run(range(5))
    iterations = {
        path.name: read_checkpoint(path)["parts"]["trainer"]["iteration"]
        for path in tmp_path.iterdir()
    }
    assert iterations == {"last.pt": 5, "last-1.pt": 4, "last-2.pt": 3}
