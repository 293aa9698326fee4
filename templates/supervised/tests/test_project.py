"""What this project promises; each test trains a little."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import predict
import train
from scaffold_runtime import Checkpoint, UserError, read_checkpoint
from scaffold_runtime.settings import parse_settings

PROJECT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    """Runs go to a folder of each test's own."""
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)


def test_it_learns():
    """Six epochs of the small model are right for nine test samples in ten."""
    reached = train.main(train.Settings(width=16, max_epochs=6, lr=0.01))

    assert reached["accuracy"] > 0.9


def test_a_run_that_was_killed_goes_on_as_if_it_had_not_been(monkeypatch):
    """Stopped right after its second checkpoint and resumed, a run ends with the same bits."""
    train.main(train.Settings(run="unbroken", width=8, max_epochs=4))

    with monkeypatch.context() as patch:
        stop_after_saves(2, patch)
        with pytest.raises(KeyboardInterrupt):
            train.main(train.Settings(run="killed", width=8, max_epochs=4))
    train.main(train.Settings(run="killed", width=8, max_epochs=4, resume=True))

    assert_same_state("killed", "unbroken")


@pytest.mark.parametrize("split", ["valid", "test"])
def test_the_best_checkpoint_can_be_measured_again(split):
    """Evaluating a run that is over gives the accuracy it ended with, and changes nothing."""
    reached = train.main(train.Settings(width=8, max_epochs=2))
    before = sorted(path for path in Path("runs").rglob("*"))

    again = train.main(train.Settings(width=8, evaluate=split))

    assert split != "test" or again == reached
    assert sorted(path for path in Path("runs").rglob("*")) == before


def test_the_best_checkpoint_predicts(capsys):
    """`predict.py --sample 3` says what three test samples are taken for, and what they are."""
    train.main(train.Settings(width=8, max_epochs=2))
    capsys.readouterr()

    predict.main(predict.Settings(sample=3))

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(line.startswith('Predicted: "') and 'Actual: "' in line for line in lines)


def test_a_fast_dev_run_leaves_nothing():
    """`--fast-dev-run` goes through everything and writes no file here."""
    train.main(train.Settings(fast_dev_run=True))

    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--max-epoch", "3"], "did you mean --max-epochs?"),
        (["--lr", "fast"], "fast"),
        (["--model", "rnn"], "rnn"),
        (["--dropout", "2"], "dropout must be from 0 to 1, not 2"),
        (["--config", "missing.yaml"], "missing.yaml cannot be read"),
    ],
)
def test_a_wrong_setting_is_refused(arguments, complaint):
    """A name or a value that cannot be is named before anything is done."""
    with pytest.raises(UserError) as refused:
        parse_settings(train.Settings, arguments)

    assert complaint in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_mistake_is_one_line_and_a_status():
    """A user's mistake on the real command line shows no traceback and does not exit with 0."""
    command = [sys.executable, str(PROJECT / "train.py"), "--resume"]

    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    assert ended.returncode == 2
    assert ended.stderr.startswith("train.py: nothing to resume")
    assert len(ended.stderr.splitlines()) == 1


def stop_after_saves(count, patch):
    """Interrupt the run when its checkpoint was written this many times."""
    save, saved = Checkpoint.save, []

    def save_and_stop(self):
        saved.append(save(self))
        if len(saved) == count:
            raise KeyboardInterrupt

    patch.setattr(Checkpoint, "save", save_and_stop)


def assert_same_state(one, other):
    """Compare the last checkpoints of two runs, every tensor of model and optimizer."""
    first, second = (
        read_checkpoint(Path("runs", run, "checkpoints", "last.pt"))["parts"]
        for run in (one, other)
    )
    for name, tensor in first["model"].items():
        assert torch.equal(tensor, second["model"][name]), name
    for key, moments in first["optimizer"]["state"].items():
        for name, tensor in moments.items():
            assert torch.equal(tensor, second["optimizer"]["state"][key][name]), (key, name)
