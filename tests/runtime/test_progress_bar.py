"""The progress bar, as a terminal would show it."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch

from scaffold_runtime import Engine, Events, ProgressBar, RunningAverage


def test_each_epoch_has_a_bar_that_reaches_its_end() -> None:
    """With its number, its iterations and the metrics asked for."""
    shown = Terminal()
    engine = Engine(lambda engine, batch: batch)
    RunningAverage(alpha=1.0).attach(engine, "loss")
    ProgressBar(refresh_every=1e9, file=shown, disable=False, leave=True).attach(engine, ["loss"])
    engine.run([0.25] * 7, max_epochs=2)

    lines = shown.last_lines()
    assert "epoch 1/2: 100%" in lines[0]
    assert "epoch 2/2: 100%" in lines[1]
    assert all("7/7" in line and "loss=0.25" in line for line in lines)


def test_a_bar_of_unknown_length_counts() -> None:
    """Data without a length is counted without a share."""
    shown = Terminal()
    engine = Engine(lambda engine, batch: batch)
    ProgressBar(file=shown, disable=False, leave=True).attach(engine)
    engine.run(iter(range(5)))

    assert "5it" in shown.last_lines()[0]


def test_metrics_are_read_only_when_drawn() -> None:
    """Between two drawings a tensor stays unread, however many iterations pass."""
    reads: list[int] = []

    class Watched:
        def __float__(self) -> float:
            reads.append(engine.state.iteration)
            return 0.5

    engine = Engine(lambda engine, batch: None)
    engine.state.metrics["loss"] = Watched()
    bar = ProgressBar(refresh_every=1e9, file=io.StringIO(), disable=False)
    bar.attach(engine, ["loss"])
    engine.run(range(100))

    assert reads == [1, 100]


def test_a_metric_that_is_not_there_yet_is_left_out() -> None:
    """A metric of the evaluator appears after the first evaluation."""
    shown = Terminal()
    engine = Engine(lambda engine, batch: None)
    ProgressBar(refresh_every=0, file=shown, disable=False, leave=True).attach(engine, ["late"])
    engine.add_event_handler(
        Events.EPOCH_STARTED(once=2), lambda: engine.state.metrics.update(late=torch.tensor(0.5))
    )
    engine.run([0], max_epochs=2)

    assert "late" not in shown.last_lines()[0]
    assert "late=0.5" in shown.last_lines()[1]


@pytest.mark.parametrize("ending", ["raise", "terminate", "skip completed"])
def test_the_bar_is_closed_however_the_run_ends(ending: str) -> None:
    """What is printed afterwards begins on a line of its own."""
    shown = Terminal()

    def step(engine: Engine, batch: int) -> Any:
        return 1 / 0 if ending == "raise" else engine.terminate(ending == "skip completed")

    engine = Engine(step)
    ProgressBar(file=shown, disable=False, leave=True).attach(engine)
    try:
        engine.run([0, 1])
    except ZeroDivisionError:
        assert ending == "raise"

    assert shown.getvalue().endswith("\n")


def test_nothing_is_shown_where_there_is_no_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    """In a file or a pipe a bar would be a mess; messages appear all the same."""
    engine, bar = Engine(lambda engine, batch: None), ProgressBar()
    bar.attach(engine)
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: bar.log_message("validated"))
    engine.run([0, 1])

    assert capfd.readouterr() == ("validated\n", "")


class Terminal(io.StringIO):
    """What was written, and what of it stays on the lines."""

    def last_lines(self) -> list[str]:
        return [line.rsplit("\r", 1)[-1] for line in self.getvalue().split("\n") if line]
