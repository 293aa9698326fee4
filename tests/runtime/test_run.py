"""What a run gives the program: when to validate, how long an epoch is, where numbers go."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from scaffold_runtime import (
    Engine,
    Loader,
    Run,
    RunSettings,
    Streams,
    read_json_lines,
    start_run,
    write_checkpoint,
)


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def start() -> Callable[..., Run[Any]]:
    """Start a run on the CPU."""
    return lambda **settings: start_run(RunSettings(**{"device": "cpu", **settings}))


def nothing(engine: Engine, batch: Any) -> None:
    """Do nothing with a batch."""


@pytest.mark.parametrize(
    ("every", "epochs", "expected"), [(1, 3, [1, 2, 3]), (2, 5, [2, 4, 5]), (9, 2, [2])]
)
def test_the_last_epoch_is_always_validated(
    start: Callable[..., Run[Any]], every: int, epochs: int, expected: list[int]
) -> None:
    """Its weights, often the best, would be thrown away otherwise."""
    trainer, seen = Engine(nothing), []
    validations = start(validate_every=every).validations()
    trainer.add_event_handler(validations, lambda: seen.append(trainer.state.epoch))

    trainer.run([1], max_epochs=epochs)

    assert seen == expected


def test_a_limit_above_the_data_is_no_limit(start: Callable[..., Run[Any]]) -> None:
    """An epoch does not become longer than the data, and schedules count what there is."""
    run = start(limit_train_batches=40, max_epochs=2)

    batches = run.batches(Loader(torch.arange(6), batch_size=2))

    assert (run.train_length, run.total_iterations(batches)) == (3, 6)


@pytest.mark.parametrize("kind", ["loader", "streams", "list"])
def test_batches_come_to_the_runs_device_before_they_are_asked_for(
    start: Callable[..., Run[Any]], kind: str
) -> None:
    """A step that moved them itself would wait for the device each time."""
    run, seen = start(device="meta"), []
    engine = Engine(lambda engine, batch: seen.append(batch))
    loader = Loader(torch.arange(4), batch_size=2)
    data = {
        "loader": loader,
        "streams": Streams({"only": loader}, epoch_of="only"),
        "list": [torch.zeros(2), torch.zeros(2)],
    }[kind]

    engine.run(run.batches(data))
    run.evaluate(engine, data)

    devices = [each["only"].device if kind == "streams" else each.device for each in seen]
    assert [device.type for device in devices] == 4 * ["meta"]


def test_learning_rates_are_logged_by_name(start: Callable[..., Run[Any]]) -> None:
    """With each line of metrics, as they are in that iteration."""
    run, trainer = start(log_every=1), Engine(nothing)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    run.follow(trainer, [], lr=optimizer)

    trainer.run([1])

    assert [line["lr"] for line in read_json_lines(run.logger.path)] == [0.5]


def test_what_the_best_checkpoint_reached_is_logged_everywhere(
    start: Callable[..., Run[Any]],
) -> None:
    """After the training is over, to the trackers, too."""
    run, trainer = start(log_to=("csv",)), Engine(nothing)
    run.follow(trainer, [])
    trainer.run([1, 2])

    run.finish(trainer.state, "test", {"accuracy": 0.75})

    (line,) = read_json_lines(run.logger.path)
    assert line == {"split": "test", "epoch": 1, "iteration": 2, "accuracy": 0.75}
    (row,) = csv.DictReader((run.folder / "metrics.csv").read_text().splitlines())
    assert (row["split"], row["accuracy"]) == ("test", "0.75")


def test_measuring_alone_logs_nothing(start: Callable[..., Run[Any]]) -> None:
    """`--evaluate` writes no file, however often it is called."""
    folder = start().folder
    write_checkpoint(folder / "checkpoints" / "best.pt", {})
    (folder / "config.yaml").touch()
    run = start(evaluate="test")

    run.finish(Engine(nothing).state, "test", {"accuracy": 0.75})

    assert not run.logger.path.exists()
