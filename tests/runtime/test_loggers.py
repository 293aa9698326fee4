"""What loggers write, read back with each tool's own reader."""

from __future__ import annotations

import csv
import json
import struct
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
import torch
from torch import nn

from scaffold_runtime import (
    CsvLogger,
    Engine,
    Events,
    JsonLinesLogger,
    Loggers,
    MLflowLogger,
    State,
    TensorboardLogger,
    UserError,
    WandBLogger,
    read_json_lines,
)

LOSSES = [4.0, 3.0, 2.0, 1.0]


def run(logger: Any, losses: list[float] = LOSSES, epochs: int = 1) -> Engine:
    """Log the loss of every second iteration, as a trainer does."""
    trainer = Engine(lambda engine, batch: batch)

    @trainer.on(Events.ITERATION_COMPLETED)
    def show() -> None:
        trainer.state.metrics["loss"] = torch.tensor(trainer.state.output)

    often = Events.ITERATION_COMPLETED(every=2)
    logger.attach_output_handler(trainer, often, "train", ["loss"])
    trainer.run(losses, max_epochs=epochs)
    return trainer


def state_at(iteration: int) -> State:
    return State(iteration=iteration, epoch=1)


# --- All loggers ----------------------------------------------------------


def test_several_loggers_log_at_once(tmp_path: Path) -> None:
    """What is attached once is written everywhere, and their states are one."""
    loggers = Loggers(JsonLinesLogger(tmp_path / "log.jsonl"), CsvLogger(tmp_path / "log.csv"))
    run(loggers)
    saved = loggers.state_dict()
    loggers.log("train", state_at(9), {"loss": 0.0})
    loggers.load_state_dict(saved)
    loggers.close()
    assert [line["loss"] for line in read_json_lines(tmp_path / "log.jsonl")] == [3.0, 1.0]
    assert [row["loss"] for row in read_csv(tmp_path / "log.csv")] == ["3.0", "1.0"]


def test_an_evaluator_is_logged_at_the_trainers_iteration(tmp_path: Path) -> None:
    """With `trainer`, the line says how far the training is, not the evaluation."""
    logger = JsonLinesLogger(tmp_path / "log.jsonl")
    trainer, evaluator = (Engine(lambda engine, batch: batch) for _ in range(2))
    logger.attach_output_handler(
        evaluator, Events.COMPLETED, "valid", output_transform=lambda x: x, trainer=trainer
    )
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: evaluator.run([5.0]))
    trainer.run([0, 0, 0], max_epochs=2)
    lines = read_json_lines(tmp_path / "log.jsonl")
    assert [(line["epoch"], line["iteration"], line["output"]) for line in lines] == [
        (1, 3, 5.0),
        (2, 6, 5.0),
    ]


def test_learning_rates_are_logged_for_each_group(tmp_path: Path) -> None:
    """One group's rate is a number, those of several a list."""
    logger = JsonLinesLogger(tmp_path / "log.jsonl")
    trainer = Engine(lambda engine, batch: None)
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": lr} for lr in (0.1, 0.2)]
    for optimizer in (torch.optim.SGD(groups[:1]), torch.optim.SGD(groups)):
        logger.attach_opt_params_handler(trainer, Events.EPOCH_STARTED, optimizer)
    trainer.run([0])
    lines = read_json_lines(tmp_path / "log.jsonl")
    assert [line["lr"] for line in lines] == [0.1, [0.1, 0.2]]


def test_norms_of_weights_and_gradients_are_logged(tmp_path: Path) -> None:
    """Each parameter's norm is under its name; one without a gradient has none of that."""
    logger = JsonLinesLogger(tmp_path / "log.jsonl")
    trainer, model = Engine(lambda engine, batch: None), nn.Linear(2, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[3.0, 4.0]]))
        model.bias.fill_(-2.0)
    model.weight.grad = torch.tensor([[5.0, 12.0]])
    logger.attach_model_handler(trainer, Events.EPOCH_COMPLETED, model)
    trainer.run([0])
    weights, grads = read_json_lines(tmp_path / "log.jsonl")
    assert (weights["weight"], weights["bias"]) == (5.0, 2.0)
    assert (grads["split"], grads["weight"]) == ("gradient_norm", 13.0)
    assert "bias" not in grads


@pytest.mark.parametrize(
    ("module", "make"),
    [
        ("tensorboard", lambda: TensorboardLogger("logs")),
        ("mlflow", MLflowLogger),
        ("wandb", WandBLogger),
    ],
)
def test_a_missing_package_is_one_line_that_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, module: str, make: Any
) -> None:
    """Without the package, the person is told what to install."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=rf"pip install -e '\.\[{module}\]'") as caught:
        make()
    assert "\n" not in str(caught.value)


def test_optional_packages_are_imported_only_when_used() -> None:
    """Importing the runtime imports none of the loggers' packages."""
    script = (
        "import sys, scaffold_runtime; "
        "print({'tensorboard', 'mlflow', 'wandb', 'matplotlib'} & set(sys.modules))"
    )
    runtime = Path(sys.modules["scaffold_runtime"].__path__[0]).parent
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=runtime, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


# --- CSV ------------------------------------------------------------------


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_column_may_come_later(tmp_path: Path) -> None:
    """A new name widens the table; the rows before it have nothing there."""
    logger = CsvLogger(tmp_path / "deep" / "log.csv")
    logger.log("train", state_at(1), {"loss": 0.5})
    logger.log("valid", state_at(1), {"accuracy": torch.tensor(0.25), "recall": [0.0, 1.0]})
    logger.log("train", state_at(2), {"loss": float("nan")})
    rows = read_csv(logger.path)
    assert [row["loss"] for row in rows] == ["0.5", "", "nan"]
    assert [row["accuracy"] for row in rows] == ["", "0.25", ""]
    assert [row["recall/1"] for row in rows] == ["", "1.0", ""]
    assert [row["iteration"] for row in rows] == ["1", "1", "2"]


def test_a_resumed_table_has_each_row_once(tmp_path: Path) -> None:
    """Rows from after the checkpoint, and one that was cut off in the middle, are taken away."""
    logger = CsvLogger(tmp_path / "log.csv")
    logger.log("train", state_at(1), {"loss": 0.5})
    saved = logger.state_dict()
    logger.log("train", state_at(2), {"loss": 0.25, "accuracy": 1.0})
    with logger.path.open("a") as file:
        file.write("train,1,")
    resumed = CsvLogger(logger.path)
    resumed.load_state_dict(saved)
    resumed.log("train", state_at(2), {"loss": 0.125})
    assert [row["loss"] for row in read_csv(logger.path)] == ["0.5", "0.125"]
    assert resumed.state_dict() == {"rows": 2}


def test_names_and_values_with_commas_and_quotes_survive(tmp_path: Path) -> None:
    """Any name reads back as it was."""
    logger = CsvLogger(tmp_path / "log.csv")
    logger.log('a "b", c', state_at(1), {'x,"y"\nz': 1.0})
    (row,) = read_csv(logger.path)
    assert (row["split"], row['x,"y"\nz']) == ('a "b", c', "1.0")


# --- TensorBoard ----------------------------------------------------------


def read_events(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def test_tensorboard_shows_scalars_histograms_and_images(tmp_path: Path) -> None:
    """TensorBoard's reader finds every kind under its tag, at the iteration."""
    logger = TensorboardLogger(tmp_path)
    trainer = run(logger)
    model = nn.Linear(2, 1)
    model.weight.grad = torch.full((1, 2), torch.inf)
    logger.attach_model_handler(trainer, Events.EPOCH_COMPLETED, model)
    trainer.run(LOSSES, max_epochs=2)
    logger.log_images("samples", trainer.state, torch.rand(3, 1, 4, 5))
    logger.close()

    events = read_events(tmp_path)
    shown = [(each.step, each.value) for each in events.Scalars("train/loss")]
    assert shown == [(2, 3.0), (4, 1.0), (6, 3.0), (8, 1.0)]
    assert events.Histograms("weight/weight")[0].histogram_value.num == 2
    assert events.Scalars("weight_norm/bias")[0].step == 8
    assert events.Images("samples")[0].step == 8


def test_tensorboard_passes_over_what_a_killed_run_logged_too_much(tmp_path: Path) -> None:
    """After resuming, the curve has each step once, with the value of the run that went on."""
    logger = TensorboardLogger(tmp_path, filename_suffix=".1")
    logger.log("train", state_at(10), {"loss": 0.5})
    saved = logger.state_dict()
    logger.log("train", state_at(20), {"loss": 0.4})
    logger.flush()
    resumed = TensorboardLogger(tmp_path, filename_suffix=".2")
    resumed.load_state_dict(saved)
    resumed.log("train", state_at(20), {"loss": 0.3})
    resumed.close()
    logger.close()
    shown = [
        (each.step, round(each.value, 1)) for each in read_events(tmp_path).Scalars("train/loss")
    ]
    assert shown == [(10, 0.5), (20, 0.3)]


# --- MLflow ---------------------------------------------------------------


@pytest.fixture
def mlflow_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    return f"sqlite:///{tmp_path}/deep/mlflow.db"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_mlflow_has_every_value_after_few_calls(
    mlflow_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow's client reads each value back at its step; a run that goes on is the same run."""
    import mlflow

    calls = []
    log_batch = mlflow.MlflowClient.log_batch

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(len(kwargs["metrics"]))
        return log_batch(self, *args, **kwargs)

    monkeypatch.setattr(mlflow.MlflowClient, "log_batch", counted)
    logger = MLflowLogger(mlflow_uri, "digits", run_name="first")
    run(logger, LOSSES * 3)
    assert calls == [6]
    resumed = MLflowLogger(mlflow_uri, "digits")
    resumed.load_state_dict(logger.state_dict())
    resumed.log("valid", state_at(13), {"accuracy": 0.5, "recall": torch.tensor([0.25, 1.0])})
    resumed.close()

    client = mlflow.MlflowClient(mlflow_uri)
    (found,) = client.search_runs([client.get_experiment_by_name("digits").experiment_id])
    assert (found.info.run_name, found.info.status) == ("first", "FINISHED")
    history = client.get_metric_history(found.info.run_id, "train/loss")
    values = sorted((each.step, each.value) for each in history)
    assert values == [(2, 3.0), (4, 1.0), (6, 3.0), (8, 1.0), (10, 3.0), (12, 1.0)]
    assert found.data.metrics["valid/recall/0"] == 0.25


# --- Weights & Biases -----------------------------------------------------


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_weights_and_biases_has_every_value_without_a_network(tmp_path: Path) -> None:
    """The offline run's own file holds each value at its iteration."""
    logger = WandBLogger(tmp_path, project="digits")
    run(logger)
    logger.close()
    (path,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    until = monotonic() + 20
    while len(lines := read_wandb(path)) < 2 and monotonic() < until:
        sleep(0.05)  # Its own process writes the file, a moment after the run was closed.
    assert [(line["iteration"], line["train/loss"]) for line in lines] == [(2, 3.0), (4, 1.0)]
    assert logger.state_dict()["id"] in path.name


def read_wandb(path: Path) -> list[dict[str, Any]]:
    """Return the history in a short file: a header, then records in LevelDB's log format."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, position, lines = path.read_bytes(), 7, []
    assert len(content) < 2**15, "longer files are in blocks"
    while position + 7 <= len(content):
        _, length, kind = struct.unpack("<IHB", content[position : position + 7])
        if position + 7 + length > len(content):
            break
        assert kind == 1, "a whole record"
        record = Record.FromString(content[position + 7 : position + 7 + length])
        position += 7 + length
        items = [(item.key or item.nested_key[0], item) for item in record.history.item]
        lines += [{name: json.loads(item.value_json) for name, item in items}] if items else []
    return lines
