"""What this project promises; each test trains a little."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from small import SMALL
from test_runs import assert_same, parts_of, stop_after_saves

import choices
import data
import kept
import predict
import train
from scaffold_runtime import UserError, parse_settings, read_checkpoint, read_json_lines

TABLE = {"dataset": "csv", "path": "rows.csv", "model": "mlp", "lr": 0.01, "width": 4}
SUM = {**TABLE, "target": "sum", "task": "regression"}
KIND = {**TABLE, "target": "large"}


def test_it_learns():
    """Six epochs of the small model are right for nine test samples in ten."""
    reached = train.main(train.Settings(width=16, max_epochs=6, lr=0.01))

    assert reached["accuracy"] > 0.9


@pytest.mark.parametrize(
    ("model", "size"), [("mlp", {"width": 8}), ("linear", {}), ("resnet", {"width": 8})]
)
def test_every_model_learns(model, size):
    """Two epochs of each are right much more often than chance."""
    reached = train.main(train.Settings(model=model, **size, max_epochs=2, lr=0.01, max_shift=0))

    assert reached["accuracy"] > 0.3


def test_the_columns_of_a_table_are_learned(table):
    """A regression explains most of a sum, and a classification tells if it is large."""
    of_sum = train.main(train.Settings(**SUM, run="sum", max_epochs=15))
    of_large = train.main(train.Settings(**KIND, run="large", max_epochs=5))

    assert list(of_sum) == ["loss", "mae", "rmse", "r2"]
    assert of_sum["r2"] > 0.8
    assert of_sum["rmse"] ** 2 / of_sum["loss"] == pytest.approx(float(table.var()), rel=0.3)
    assert of_large["accuracy"] > 0.85


@pytest.mark.parametrize(
    "settings",
    [
        {"ema": 0.9, "accumulate": 3, "schedule": "plateau", "clip_norm": 1.0},
        {"balanced_sampling": True, "optimizer": "sgd", "precision": "bf16"},
    ],
)
def test_whatever_is_chosen_a_killed_run_goes_on_as_if_it_had_not_been(settings, monkeypatch):
    """Averaged weights, half of an update, what a plateau was measured by: all of it is saved."""
    settings = {**SMALL, **settings}
    train.main(train.Settings(**settings, run="unbroken"))

    with monkeypatch.context() as patch:
        stop_after_saves(3, patch)
        with pytest.raises(KeyboardInterrupt):
            train.main(train.Settings(**settings, run="killed", save_every="7"))
    train.main(train.Settings(**settings, run="killed", resume=True))

    assert_same(parts_of("killed"), parts_of("unbroken"), "parts")


def test_averaged_weights_are_those_that_are_kept():
    """With `--ema` the best checkpoint differs from the weights that were trained."""
    train.main(train.Settings(**{**SMALL, "max_epochs": 1}, ema=0.9))
    parts = parts_of("first")
    (path,) = Path("runs", "first", "checkpoints").glob("best_*.pt")
    kept = read_checkpoint(path)["parts"]["model"]

    assert_same(parts["ema"]["model"], kept, "model")
    assert not torch.equal(parts["model"]["0.weight"], kept["0.weight"])


def test_of_equal_accuracies_the_one_with_the_smaller_loss_is_kept():
    """Where steps are too small to change a prediction, the last epoch is the best."""
    train.main(train.Settings(model="linear", max_epochs=3, lr=1e-7, schedule="constant"))

    (path,) = Path("runs", "first", "checkpoints").glob("best_*.pt")
    assert path.name.endswith("iteration=51.pt")


def test_the_best_file_is_named_for_its_accuracy():
    """Also where the loss is enormous: it decides between equal accuracies, and nothing else."""
    train.main(train.Settings(model="linear", max_epochs=1, lr=100.0, schedule="constant"))

    (path,) = Path("runs", "first", "checkpoints").glob("best_*.pt")
    lines = read_json_lines(Path("runs", "first", "metrics.jsonl"))
    reached = next(line["accuracy"] for line in lines if line["split"] == "valid")
    assert f"accuracy={reached:.4f}_" in path.name


def test_on_a_plateau_the_learning_rate_falls():
    """After six validations that are no better it is half of what it was."""
    train.main(train.Settings(model="linear", max_epochs=8, lr=1e-7, schedule="plateau"))

    assert parts_of("first")["optimizer"]["param_groups"][0]["lr"] == 5e-8


@pytest.mark.parametrize("best", [-1000.0, 0.0, 0.5])
def test_a_score_that_falls_is_a_plateau(best):
    """The rate is halved after six scores that are worse, also where all are below 0."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = choices.make_scheduler(train.Settings(schedule="plateau"), optimizer, 17)

    rates = []
    for worse in range(7):
        scheduler.step(best - 0.05 * worse)
        rates.append(scheduler.get_last_lr()[0])

    assert rates == [1.0] * 6 + [0.5]


def test_the_learning_rate_falls_until_the_last_update():
    """Of 17 batches an epoch, the fourths and the last make an update: 15 in three epochs."""
    weights = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(weights.parameters(), lr=1.0)
    settings = train.Settings(accumulate=4, max_epochs=3)
    scheduler = choices.make_scheduler(settings, optimizer, iterations=3 * 17)
    optimizer.step()

    rates = []
    for _ in range(15):
        scheduler.step()
        rates.append(scheduler.get_last_lr()[0])

    assert rates[-2] > 0
    assert rates[-1] == 0


def test_the_best_checkpoint_predicts(capsys):
    """`predict.py --sample 3` says what three test samples are taken for, and what they are."""
    train.main(train.Settings(**SMALL))
    capsys.readouterr()

    predict.main(predict.Settings(sample=3))

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(line.startswith('Predicted: "') and 'Actual: "' in line for line in lines)


def test_rows_are_predicted_where_the_data_is_not(table, capsys):
    """`predict.py new.csv` says a number for each row, in the units of the file that is gone."""
    train.main(train.Settings(**SUM, max_epochs=15))
    Path("rows.csv").rename("new.csv")
    capsys.readouterr()

    predict.main(predict.Settings(files=(Path("new.csv"),)))

    lines = capsys.readouterr().out.splitlines()
    predicted = torch.tensor([float(line.rpartition(" ")[2]) for line in lines])
    assert lines[0].startswith("new.csv row 1: Predicted: ")
    assert (predicted - table).abs().mean() < 0.5 * table.std()


@pytest.mark.parametrize("settings", [SUM, KIND])
def test_a_best_checkpoint_knows_its_table_to_the_last_bit(settings, table):
    """Rows are standardised, and numbers told, as in the run."""
    settings = train.Settings(**settings, max_epochs=1)
    train.main(settings)
    samples = data.make_data(settings).samples
    Path("rows.csv").unlink()

    known = kept.know_data(settings, Path("runs/first/checkpoints")).samples

    assert torch.equal(known.standardise(samples.rows), samples.standardise(samples.rows))
    assert (known.shape, known.class_names) == (samples.shape, samples.class_names)
    assert known.columns == samples.columns
    if settings.task == "regression":
        assert torch.equal(known.in_units(samples.labels), samples.in_units(samples.labels))


def test_a_best_checkpoint_of_an_earlier_release_predicts_beside_its_data(table, monkeypatch):
    """It has a checksum alone: the data is read, and where it is gone one line says so."""
    with monkeypatch.context() as patch:
        patch.setattr(kept, "known_of", lambda samples: {})
        train.main(train.Settings(**SUM, max_epochs=1))
    Path("new.csv").write_text("a,b,large\n1,2,0\n")
    predict.main(predict.Settings(files=(Path("new.csv"),)))

    Path("rows.csv").unlink()
    with pytest.raises(UserError, match="cannot be read as a CSV file"):
        predict.main(predict.Settings(files=(Path("new.csv"),)))


@pytest.mark.parametrize(
    ("settings", "shape", "first", "classes"),
    [
        ({}, (1, 8, 8), data.CLASS_NAMES[0], len(data.CLASS_NAMES)),
        ({"image_size": 12}, (1, 12, 12), data.CLASS_NAMES[0], len(data.CLASS_NAMES)),
        ({"dataset": "fashion-mnist"}, (1, 28, 28), "T-shirt/top", 10),
        ({"dataset": "mnist", "image_size": 14}, (1, 14, 14), "0", 10),
    ],
)
def test_what_is_published_is_known_without_a_download(settings, shape, first, classes):
    """The model of a picture of MNIST is made on a machine that has no network."""
    known = kept.know_data(train.Settings(**settings, cache="missing"), Path("missing")).samples

    names = known.class_names
    assert (known.shape, names[0], len(names)) == (shape, first, classes)


def test_a_table_that_changed_is_not_taken_for_the_one_it_was(table):
    """Other rows would be split and standardised otherwise: the best checkpoint is not for them."""
    train.main(train.Settings(**SUM, max_epochs=1))
    with Path("rows.csv").open("a") as file:
        file.write(Path("rows.csv").read_text().splitlines()[1] + "\n")

    with pytest.raises(UserError, match="the data has changed since the run began"):
        train.main(train.Settings(**SUM, max_epochs=1, evaluate="test"))


def test_averaged_weights_remember_as_many_updates_as_they_are_asked_to():
    """After many updates each counts by its age, and the first weights are forgotten."""
    model = torch.nn.Linear(1, 1, bias=False)
    ema = choices.make_ema(train.Settings(ema=0.99), model)
    for value in range(1000):
        torch.nn.init.constant_(model.weight, value)
        ema.update()

    assert ema.ema_model.weight.item() == pytest.approx(999 - 99, abs=1)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--lr", "fast"], "fast"),
        (["--model", "rnn"], "rnn"),
        (["--dropout", "1"], "dropout must be from 0 to 0.999, not 1"),
        (["--momentum", "1"], "momentum must be from 0 to 0.999, not 1"),
        (["--label-smoothing", "1"], "label_smoothing must be from 0 to 0.999, not 1"),
    ],
)
def test_a_wrong_setting_is_refused(arguments, complaint):
    """A value that cannot be is named before anything is done."""
    with pytest.raises(UserError, match=complaint):
        parse_settings(train.Settings, arguments)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"dataset": "csv"}, "--dataset csv needs its file: --path FILE"),
        ({"dataset": "csv", "path": "rows.csv"}, "--dataset csv needs a column: --target NAME"),
        ({"dataset": "image-folder"}, "--dataset image-folder needs its folder: --path FOLDER"),
        ({"path": "rows.csv"}, "the dataset is digits"),
        ({"task": "regression"}, "--task regression is for csv, not for digits"),
        ({**KIND, "model": "cnn"}, "--model cnn is for images"),
        ({**KIND, "target": "name"}, "rows.csv has no column 'name' to predict"),
        ({**KIND, "path": "other.csv"}, "other.csv cannot be read as a CSV file"),
        ({"class_weights": True, "balanced_sampling": True}, "would balance twice"),
        ({"folds": 1}, "--folds must be 2 or more"),
        ({"folds": 5, "fold": 5}, "there is no --fold 5 of --folds 5"),
        ({"folds": 5000}, "there is no fold 0 of 5000 folds"),
        ({"ema": 1.0}, "--ema 1 would keep the first weights forever"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, complaint, table):
    """One line says which, and no run has begun."""
    with pytest.raises(UserError) as refused:
        train.main(train.Settings(**settings))

    assert complaint in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"momentum": 0.5}, "--momentum is for --optimizer sgd, and optimizer is adamw"),
        ({"warm_up": 0.2, "schedule": "constant"}, "--warm-up is for --schedule cosine"),
        ({"halve_after": 3}, "--halve-after is for --schedule plateau"),
        ({"grey": True}, "--grey is for --dataset image-folder"),
        ({"cache": "here"}, "--cache is for --dataset fashion-mnist or mnist"),
        ({"fold": 1}, "there is no --fold 1 of --folds 0"),
        ({**KIND, "max_shift": 0}, "--max-shift is for --dataset digits"),
        ({**KIND, "image_size": 8}, "--image-size is for --dataset digits"),
        ({"model": "linear", "width": 8}, "--width is for --model cnn or mlp or resnet"),
        ({"model": "linear", "dropout": 0.0}, "--dropout is for --model cnn"),
        ({**SUM, "label_smoothing": 0.1}, "--label-smoothing is for --task classification"),
        ({**SUM, "class_weights": True}, "--class-weights is for --task classification"),
        ({**SUM, "balanced_sampling": True}, "--balanced-sampling is for --task classification"),
    ],
)
def test_a_setting_that_would_have_no_effect_is_refused(settings, complaint):
    """What was asked for and would not happen is named; what goes on keeps what it began with."""
    with pytest.raises(UserError, match=complaint):
        choices.check_settings(train.Settings(**settings))


def test_a_run_of_an_earlier_release_goes_on_with_a_setting_that_had_no_effect():
    """It cannot be given another value any more, so it is let pass."""
    choices.check_settings(train.Settings(model="linear", width=8, resume=True))
    choices.check_settings(train.Settings(model="linear", width=8, evaluate="test"))


def test_a_model_and_a_data_set_of_your_own_have_all_settings():
    """What is not known not to use a setting may be given it."""
    choices.check_settings(train.Settings(model="mine", width=8, dataset="mine", max_shift=0))


def test_a_run_that_diverges_says_what_to_do():
    """A loss that is no number ends the run with one line, and not as if it were complete."""
    with pytest.raises(UserError, match="not finite at iteration 17: try a lower --lr"):
        train.main(train.Settings(**SMALL, lr=1e10))


def test_what_the_best_checkpoint_reached_is_logged(table):
    """The last line of metrics.jsonl has the numbers of the test, also of a regression."""
    of_digits = train.main(train.Settings(**{**SMALL, "max_epochs": 1}))
    of_sum = train.main(train.Settings(**SUM, max_epochs=1, run="sum"))

    for run, reached in {"first": of_digits, "sum": of_sum}.items():
        lines = read_json_lines(Path("runs", run, "metrics.jsonl"))
        assert lines[-1] == {**lines[-1], "split": "test", **reached}
        assert all(("accuracy" in line) == (run == "first") for line in lines if "lr" not in line)


@pytest.fixture
def table():
    """A file of two columns, their sum times 100, and if it is large; returned are the sums."""
    columns = 5 + 3 * torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    sums = 100 * columns.sum(dim=1)
    with Path("rows.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "sum", "large"])
        for (a, b), total in zip(columns.tolist(), sums.tolist(), strict=True):
            writer.writerow([a, b, total, int(total > 1000)])
    return sums
