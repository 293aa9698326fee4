"""What a student and its teacher promise; each test trains a little."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small import SMALL
from test_runs import assert_same, parts_of

import compare
import predict
import train
from data import UNKNOWN, make_data
from learning import choose_targets, distillation_loss, soft_targets
from model import make_models
from modes import ONLY_WITH, check_settings, is_used
from scaffold_runtime import (
    BestCheckpoint,
    UserError,
    parse_settings,
    read_checkpoint,
    read_json_lines,
)


def small(mode="together", **others):
    """Return settings of a mode with which a run takes seconds."""
    chosen = {**SMALL, "teacher_epochs": 2, **others}
    used = {name: value for name, value in chosen.items() if is_used(name, mode)}
    return train.Settings(**used, mode=mode)


def test_a_teacher_helps():
    """With a teacher a student is right clearly more often than with its labels alone."""
    both = {"student_width": 32, "max_epochs": 8, "labels": 50}
    alone = train.main(train.Settings(**both, run="alone", mode="alone"))
    helped = train.main(train.Settings(**both, teacher_width=8, teacher_lr=0.01))

    assert helped["teacher_accuracy"] > 0.9
    assert helped["student_accuracy"] > alone["student_accuracy"] + 0.03
    assert "student of the run alone" in Path("runs/first/report.html").read_text()


@pytest.mark.parametrize(("mode", "epochs"), [("frozen", (2, 3)), ("mutual", (2,))])
def test_a_run_of_each_mode_goes_on_as_if_it_had_not_been_stopped(mode, epochs, monkeypatch):
    """It ends with the same bits, also when it was stopped before or after frozen's change."""
    settings = small(mode, run="unbroken")
    train.main(settings)

    for epoch in epochs:
        killed = replace(settings, run=f"killed-{epoch}", save_every="7")
        with monkeypatch.context() as patch:
            stop_in_epoch(epoch, patch)
            with pytest.raises(KeyboardInterrupt):
                train.main(killed)
        train.main(replace(killed, resume=True))

        for name, part in parts_of("unbroken").items():
            assert_same(parts_of(killed.run)[name], part, name)
        assert best_files(killed.run) == best_files("unbroken")
        assert metrics_of(killed.run) == metrics_of("unbroken")


def test_a_frozen_teacher_does_not_change():
    """When the student begins to learn, the teacher has its last weights and statistics."""
    train.main(small("frozen", save_every="2ep"))
    after_its_epochs = models_of("first", "last-1.pt")
    at_the_end = models_of("first")

    assert not same(after_its_epochs["student"], at_the_end["student"])
    assert same(after_its_epochs["teacher"], at_the_end["teacher"])


def test_a_student_has_the_same_first_weights_and_batches_in_every_mode():
    """So that what differs between modes is the help alone."""
    weights, batches = [], []
    for mode in ("together", "frozen", "mutual", "alone"):
        settings = small(mode)
        torch.manual_seed(settings.seed)
        weights.append(make_models(settings)["student"].state_dict())
        streams = make_data(settings).train
        streams.seek(settings.teacher_epochs if mode == "frozen" else 0, 3)
        batches.append(next(iter(streams)))

    for other in weights[1:]:
        assert same(other, weights[0])
    for other in batches[1:]:
        assert all(map(torch.equal, other["labelled"], batches[0]["labelled"]))
        assert torch.equal(other["unlabelled"][0], batches[0]["unlabelled"][0])


def test_labels_are_for_those_who_may_know_them():
    """A student's are the first few; the others' are hidden from all where there is no teacher."""
    data = make_data(train.Settings(mode="mutual", labels=30))

    assert len(data.train.loaders["labelled"].dataset) == 30
    assert (data.train.loaders["unlabelled"].dataset.tensors[1] == UNKNOWN).all()


def test_no_gradient_goes_to_the_teacher():
    """What a student learns from has none, and comes from a teacher as it is when used."""
    models = make_models(train.Settings(**SMALL))
    images = torch.rand(6, 1, 8, 8)
    models["teacher"].train()

    targets = soft_targets(models["teacher"], images)
    distillation_loss(models["student"](images), targets, 4.0).backward()

    assert not models["teacher"].training
    assert all(weight.grad is None for weight in models["teacher"].parameters())
    assert all(weight.grad is not None for weight in models["student"].parameters())


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_nothing_is_to_be_learned_from_equal_scores(temperature):
    """The distillation loss of scores against themselves, or moved by a constant, is zero."""
    scores = torch.randn(5, 10)

    assert distillation_loss(scores, scores + 3, temperature).item() == pytest.approx(0, abs=1e-5)


def test_the_distillation_loss_is_hintons():
    """T^2 times KL(teacher || student) of softened probabilities, by hand for two classes."""
    scores, targets = torch.tensor([[0.0, 0.0]]), torch.tensor([[math.log(9.0), 0.0]])
    # At T = 2 the teacher's odds are the square root of 9: probabilities 3/4 and 1/4.
    by_hand = 4 * (0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5))

    assert distillation_loss(scores, targets, 2.0).item() == pytest.approx(by_hand)


def test_whom_each_learns_from():
    """A student from its teacher as it is when used, peers from each other in training."""
    models, images = make_models(train.Settings(**SMALL)), torch.rand(6, 1, 8, 8)
    scores = {name: model.train()(images) for name, model in models.items()}

    def targets(mode, *learners):
        return choose_targets(
            train.Settings(mode=mode), models, {name: scores[name] for name in learners}, images
        )

    assert targets("alone", "student") == targets("frozen", "teacher") == {}
    for mode, *who in (("together", "student", "teacher"), ("frozen", "student")):
        assert targets(mode, *who).keys() == {"student"}
        assert torch.equal(targets(mode, *who)["student"], models["teacher"].eval()(images))
    mutual = targets("mutual", "student", "teacher")
    assert mutual["student"] is scores["teacher"]
    assert mutual["teacher"] is scores["student"]


def test_each_model_has_a_schedule_of_its_own():
    """One rate rises and stays, the other rises and falls to 0; both are logged."""
    train.main(small(student_schedule="constant", log_every=1))

    rates = [line for line in metrics_of("first") if "student_lr" in line]
    students, teachers = ([line[f"{name}_lr"] for line in rates] for name in ("student", "teacher"))
    assert students[0] < max(students) == students[-1] == train.Settings.student_lr
    assert 0 == teachers[-1] < teachers[-2] < max(teachers) <= train.Settings.teacher_lr


def test_a_run_that_diverges_fails():
    """It ends in one line that says what to try, and does not pass for a finished one."""
    with pytest.raises(UserError, match=r"not finite at iteration \d+: try a lower learning rate"):
        train.main(small(student_lr=1e30))


def test_the_test_is_logged_once():
    """What the best checkpoints reached is the last line of metrics.jsonl; measuring adds none."""
    reached = train.main(small())
    train.main(small(evaluate="test"))

    lines = metrics_of("first")
    assert [line["split"] for line in lines].count("test") == 1
    assert reached.items() <= lines[-1].items()


def test_each_model_has_a_best_checkpoint_of_its_own():
    """Their names carry the model, and each holds that model alone."""
    train.main(train.Settings(**SMALL))

    for name in ("student", "teacher"):
        (file,) = Path("runs/first/checkpoints").glob(f"best_{name}_accuracy=*.pt")
        assert list(read_checkpoint(file)["parts"]) == [name]


def test_the_best_checkpoints_predict(capsys):
    """`predict.py --sample 3` says what both models take three test samples for."""
    train.main(train.Settings(**SMALL))
    capsys.readouterr()

    predict.main(predict.Settings(sample=3))

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    for line in lines:
        assert re.fullmatch(r'Student: "\d" \(.*%\), Teacher: "\d" \(.*%\), Actual: "\d"', line)


def test_a_comparison_goes_on_where_it_was_stopped(monkeypatch, capsys):
    """Finished runs are kept, the others trained; in the end there are a table and a figure."""
    settings = compare.Settings(**SMALL, seeds=2, modes=("together",), labels=200)
    with monkeypatch.context() as patch:
        stop_in_epoch(5, patch, of_all=True)
        with pytest.raises(KeyboardInterrupt):
            compare.main(settings)
    finished = metrics_of("comparison-alone-0")
    capsys.readouterr()

    compare.main(settings)

    assert metrics_of("comparison-alone-0") == finished
    assert "comparison-alone-0" not in capsys.readouterr().out
    table = Path("runs/comparison/table.md").read_text()
    assert [line.split()[1] for line in table.splitlines()[2:4]] == ["alone", "together"]
    assert Path("runs/comparison/figures/comparison.png").exists()
    with pytest.raises(UserError, match=r"labels is 200 in .*config.yaml, not 20"):
        compare.main(replace(settings, labels=20))


def test_a_table_has_means_and_paired_differences():
    """A difference is that of the same seed; its spread is not that of the accuracies."""
    alone = [{"student_accuracy": value} for value in (0.80, 0.90)]
    helped = [{"student_accuracy": value, "teacher_accuracy": 1.0} for value in (0.90, 0.98)]

    rows = compare.summarize({"alone": alone, "together": helped})

    assert rows[1][1] == "0.8500 ± 0.0707"
    assert rows[2][1:4] == ("0.9400 ± 0.0566", "+0.0900 ± 0.0141", "2 of 2")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--mode", "apart"], "apart"),
        (["--labels", "0"], "labels must be at least 1, not 0"),
        (["--temperature", "0"], "temperature must be from 0.1 to 100, not 0"),
        (["--student-lr", "-1"], "student_lr must be at least 0, not -1"),
    ],
)
def test_a_wrong_setting_is_refused(arguments, complaint):
    """A value that cannot be is named before anything is done."""
    with pytest.raises(UserError, match=complaint):
        parse_settings(train.Settings, arguments)


def test_more_labels_than_images_are_refused():
    """The message says how many there are."""
    with pytest.raises(UserError, match="labels is 2000, but there are 1079 training images"):
        train.main(train.Settings(labels=2000, fast_dev_run=True))


def stop_in_epoch(epoch, patch, of_all=False):
    """Interrupt the run when its validations come to this epoch, or all runs' to this many."""
    offer, offered = BestCheckpoint.offer, []

    def offer_and_stop(self, score):
        offered.append(self)
        if (len(offered) if of_all else self._trainer.state.epoch) == epoch:
            raise KeyboardInterrupt
        return offer(self, score)

    patch.setattr(BestCheckpoint, "offer", offer_and_stop)


def models_of(run, file="last.pt"):
    """Return the weights of each model in a checkpoint."""
    parts = read_checkpoint(Path("runs", run, "checkpoints", file))["parts"]
    return {name: parts[name] for name in ("student", "teacher") if name in parts}


def best_files(run):
    """Return the names of a run's best checkpoints."""
    return sorted(path.name for path in Path("runs", run, "checkpoints").glob("best_*.pt"))


def metrics_of(run):
    """Return what a run has logged."""
    return read_json_lines(Path("runs", run, "metrics.jsonl"))


def same(one, other):
    """Say whether two states of a model are alike to the last bit."""
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.mark.parametrize("labels", [51, 101])
def test_a_last_batch_of_one_image_is_left_out(labels):
    """Batch normalisation has nothing to go by with one image; any number of labels will do."""
    train.main(small("alone", labels=labels, max_epochs=1))


def test_a_student_alone_is_shown_only_beside_its_like():
    """With other labels the difference would not be the teacher's."""
    train.main(small("alone", run="alone", labels=60))
    train.main(small(labels=50))

    assert "its labels is another" in Path("runs/first/report.html").read_text()


@pytest.mark.parametrize("name", ONLY_WITH)
def test_a_setting_of_another_mode_is_refused(name):
    """It would have no effect; where it has one it is taken, and compare.py gives it to these."""
    other = {"teacher_schedule": "constant"}.get(name, 2)
    modes = ("together", "frozen", "mutual", "alone")
    idle = [mode for mode in modes if not is_used(name, mode)]

    for mode in idle:
        with pytest.raises(UserError, match=f"--{name.replace('_', '-')} is for --mode .*{mode}"):
            train.main(train.Settings(mode=mode, **{name: other}))
    assert not Path("runs").exists()
    for mode in set(modes) - set(idle):
        check_settings(train.Settings(mode=mode, **{name: other}))
    shared = compare.Settings(**{name: other})
    for mode in modes:
        check_settings(compare._settings_of(shared, mode, seed=0))


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"mode": "frozen"}, "give --modes frozen, not --mode"),
        ({"modes": ("mutual",), "temperature": 9.0}, "--temperature is for --modes together or"),
    ],
)
def test_a_comparison_refuses_what_it_would_not_use(settings, complaint):
    """Before anything is trained."""
    with pytest.raises(UserError, match=complaint):
        compare.main(compare.Settings(**settings))
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"labels": 5000}, "labels is 5000"),
        ({"mode": "frozen", "limit_train_batches": 3}, "--limit-train-batches cuts"),
    ],
)
def test_what_cannot_be_used_leaves_no_run(settings, complaint):
    """The corrected command finds its name free."""
    with pytest.raises(UserError, match=complaint):
        train.main(train.Settings(**settings))

    assert not Path("runs").exists()
