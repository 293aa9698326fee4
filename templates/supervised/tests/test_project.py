"""What this classifier promises; each test trains a little."""

from __future__ import annotations

import pytest
from small import SMALL

import predict
import train
from scaffold_runtime import UserError, parse_settings


def test_it_learns():
    """Six epochs of the small model are right for nine test samples in ten."""
    reached = train.main(train.Settings(width=16, max_epochs=6, lr=0.01))

    assert reached["accuracy"] > 0.9


def test_the_best_checkpoint_predicts(capsys):
    """`predict.py --sample 3` says what three test samples are taken for, and what they are."""
    train.main(train.Settings(**SMALL))
    capsys.readouterr()

    predict.main(predict.Settings(sample=3))

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(line.startswith('Predicted: "') and 'Actual: "' in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--lr", "fast"], "fast"),
        (["--model", "rnn"], "rnn"),
        (["--dropout", "2"], "dropout must be from 0 to 1, not 2"),
    ],
)
def test_a_wrong_setting_is_refused(arguments, complaint):
    """A value that cannot be is named before anything is done."""
    with pytest.raises(UserError, match=complaint):
        parse_settings(train.Settings, arguments)
