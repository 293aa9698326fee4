"""What every run promises, whatever it trains; each test trains a little."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small import BY_HEART, KNOWN, LEARNS, SMALL

import train
from scaffold_runtime import Checkpoint, UserError, parse_settings, read_checkpoint, read_json_lines

PROJECT = Path(__file__).parents[1]


def test_a_run_that_was_killed_goes_on_as_if_it_had_not_been(monkeypatch):
    """Stopped right after its second checkpoint and resumed, a run ends with the same bits."""
    train.main(train.Settings(**SMALL, run="unbroken"))

    with monkeypatch.context() as patch:
        stop_after_saves(2, patch)
        with pytest.raises(KeyboardInterrupt):
            train.main(train.Settings(**SMALL, run="killed", save_every="3"))
    train.main(train.Settings(**SMALL, run="killed", resume=True))

    assert parts_of("killed").keys() == parts_of("unbroken").keys()
    for name, part in parts_of("unbroken").items():
        assert_same(parts_of("killed")[name], part, name)


def test_the_best_checkpoint_can_be_measured_again():
    """Evaluating a run that is over gives what it ended with, and changes nothing."""
    reached = train.main(train.Settings(**SMALL))
    before = sorted(Path("runs").rglob("*"))

    again = train.main(train.Settings(**SMALL, evaluate="test"))

    assert again == reached
    assert sorted(Path("runs").rglob("*")) == before


def test_the_loss_falls_on_a_fixed_subset():
    """From the first validation of the same samples to the last, the model gets better."""
    train.main(train.Settings(**{**SMALL, "limit_valid_batches": 1}))
    first, last = first_and_last("valid")

    for name, share in LEARNS.items():
        assert last[name] < share * first[name], name


def test_one_batch_can_be_learned_by_heart():
    """Training on one batch, over and over, brings its loss down to what small.py says."""
    settings = {**SMALL, "overfit_batches": 1, "log_every": 1, **BY_HEART}
    epochs = settings["max_epochs"]
    once = {"validate_every": epochs, "save_every": f"{epochs}ep"}
    train.main(train.Settings(**{**settings, **once}))
    _, last = first_and_last("train")

    for name, value in KNOWN.items():
        assert last[name] < value, name


def test_a_run_ends_with_a_page_and_pictures():
    """`python train.py`, with a file of settings, draws them and names the page."""
    Path("small.yaml").write_text(json.dumps(SMALL))
    command = [sys.executable, str(PROJECT / "train.py"), "--config", "small.yaml"]

    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr
    folder = Path("runs", train.Settings().run)
    assert ended.stdout.splitlines()[-1] == f"report: {folder / 'report.html'}"
    pictures = [path.read_bytes() for path in folder.glob("figures/*.png")]
    assert len(pictures) > 1
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)


def test_a_fast_dev_run_leaves_nothing():
    """`--fast-dev-run` goes through everything and writes no file here."""
    train.main(train.Settings(fast_dev_run=True))

    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--max-epoch", "3"], "did you mean --max-epochs?"),
        (["--max-epochs", "many"], "many"),
        (["--max-epochs", "0"], "max_epochs must be at least 1, not 0"),
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
    """A mistake on the real command line shows no traceback and does not exit with 0."""
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


def parts_of(run):
    """Return what the last checkpoint of a run holds, by the name of the part."""
    return read_checkpoint(Path("runs", run, "checkpoints", "last.pt"))["parts"]


def assert_same(one, other, where):
    """Compare two states to the last bit; how long something took may differ."""
    assert type(one) is type(other), where
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for name in one.keys() - {"times"}:
            assert_same(one[name], other[name], f"{where}.{name}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for index, (mine, yours) in enumerate(zip(one, other, strict=True)):
            assert_same(mine, yours, f"{where}[{index}]")
    else:
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other, where


def first_and_last(split):
    """Return the first and the last line of metrics.jsonl that tell of this split."""
    lines = read_json_lines(Path("runs", train.Settings().run, "metrics.jsonl"))
    of_split = [line for line in lines if line["split"] == split and len(line) > 3]
    return of_split[0], of_split[-1]
