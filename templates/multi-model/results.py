"""What is measured of the models, which of them are kept, and the report of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from data import CLASS_NAMES
from scaffold_runtime import (
    Accuracy,
    BestCheckpoint,
    Engine,
    Loss,
    Run,
    RunningAverage,
    TerminateOnNan,
    read_json_lines,
    report_run,
    restore_best,
    to_device,
)
from scaffold_runtime.figures import plot_confusion_matrix, plot_images
from scaffold_runtime.run_settings import RUNS
from scaffold_runtime.settings import read_settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOSSES = ("student_loss", "student_soft_loss", "teacher_loss", "teacher_soft_loss")
ALONE = "alone"  # The run that others are reported beside, if it is there and finished.
# What must be the same in both, or the difference would not be the teacher's.
STUDENTS = (
    *("seed", "labels", "student_width", "weight_decay"),
    *("student_lr", "student_warm_up", "student_schedule"),
    *("max_epochs", "batch_size", "labelled_batch_size", "max_shift", "validate_every"),
)


# --- While training -------------------------------------------------------


class RunningLoss(RunningAverage):
    """The running average of a loss in the output of a step; without one, there is no metric."""

    def __init__(self, name: str) -> None:
        super().__init__(alpha=0.9, output_transform=itemgetter(name))
        self._name = name

    def iteration_completed(self, engine: Engine) -> None:
        if self._name in engine.state.output:
            super().iteration_completed(engine)

    def completed(self, engine: Engine, name: str) -> None:
        super().completed(engine, name)
        if engine.state.metrics[name] is None:
            del engine.state.metrics[name]


def watch_losses(trainer: Engine) -> None:
    """Average the losses that the steps return, which differ by mode and epoch."""
    for name in LOSSES:
        RunningLoss(name).attach(trainer, name)


def end_at_nan() -> TerminateOnNan:
    """Return what ends a run of which a loss is not finite."""
    return TerminateOnNan(advice="try a lower learning rate: --student-lr, --teacher-lr")


def make_evaluator(models: Mapping[str, nn.Module], device: torch.device) -> Engine:
    """Make an engine that measures the models on batches of (images, labels)."""

    @torch.no_grad()
    def evaluation_step(engine: Engine, batch: Any) -> Any:
        images, labels = to_device(batch, device)
        return {name: (model.eval()(images), labels) for name, model in models.items()}

    evaluator = Engine(evaluation_step)
    for name in models:
        Accuracy(itemgetter(name)).attach(evaluator, f"{name}_accuracy")
        Loss(nn.functional.cross_entropy, itemgetter(name)).attach(evaluator, f"{name}_loss")
    if len(models) > 1:  # Another's prediction in the place of the label.
        Accuracy(lambda output: (output["student"][0], output["teacher"][0].argmax(dim=1))).attach(
            evaluator, "agreement"
        )
    return evaluator


def keep_best(
    run: Run[Any], trainer: Engine, models: Mapping[str, nn.Module]
) -> dict[str, BestCheckpoint]:
    """Return what keeps the best state of each model, by its accuracy, in files of its name."""
    return {
        name: run.keep_best(trainer, {name: model}, "accuracy", model_name=name)
        for name, model in models.items()
    }


def restore_all(folder: Path, models: Mapping[str, nn.Module]) -> None:
    """Load the best state of each model from a run's folder of checkpoints."""
    for name, model in models.items():
        restore_best(folder, {name: model}, model_name=name)


# --- After it -------------------------------------------------------------


def report_models(
    run: Run[Any],
    models: Mapping[str, nn.Module],
    data: Iterable[tuple[Tensor, Tensor]],
    reached: Mapping[str, float],
) -> None:
    """
    Write the page of a run.

    Args:
        run: The run.
        models: By name.
        data: Batches of test images and labels.
        reached: What the best checkpoints reached on these, by name.
    """
    images, labels, said = _predict(models, data, run.device)
    classes = len(CLASS_NAMES)
    counts = torch.bincount(labels * classes + said["student"], minlength=classes**2)
    figures: dict[str, tuple[str, Figure]] = {
        "confusion_matrix": (
            f"The student on {len(labels)} test samples: the diagonal is right.",
            plot_confusion_matrix(counts.reshape(classes, classes), CLASS_NAMES),
        )
    }
    tables = {"models": _table_of_models(run, models, reached)}
    if "teacher" in models:
        tables["agreement"] = _table_of_agreement(labels, said)
        apart = (said["student"] != said["teacher"]).nonzero().flatten()[:16].tolist()
        if apart:
            titles = [
                f"student {CLASS_NAMES[said['student'][i]]}, "
                f"teacher {CLASS_NAMES[said['teacher'][i]]}\nis {CLASS_NAMES[labels[i]]}"
                for i in apart
            ]
            figures["disagreements"] = (
                "Test samples of which the two models say different things.",
                plot_images([images[i] for i in apart], titles, columns=6),
            )
    report_run(run, {f"test {name}": f"{n:.4f}" for name, n in reached.items()}, figures, tables)


def read_test_numbers(folder: Path) -> dict[str, float] | None:
    """Return what a finished run reached on the test data; None if it is not finished."""
    if not (folder / "metrics.jsonl").exists():
        return None
    lines = [line for line in read_json_lines(folder / "metrics.jsonl") if line["split"] == "test"]
    if not lines:
        return None
    place = ("split", "epoch", "iteration")
    return {name: value for name, value in lines[-1].items() if name not in place}


Table = list[tuple[str, ...]]


def _table_of_models(
    run: Run[Any], models: Mapping[str, nn.Module], reached: Mapping[str, float]
) -> tuple[str, Table]:
    rows: Table = [("model", "weights", "test accuracy", "test loss")]
    for name, model in models.items():
        weights = f"{sum(weight.numel() for weight in model.parameters()):,}"
        rows.append((name, weights, *_shown(reached, name)))
    if run.settings.mode == "alone":
        return "One run is little to go by: compare.py has the spread over seeds.", rows
    alone = read_test_numbers(RUNS / ALONE)
    if alone is None:
        return "A finished run of mode alone, called alone, would be shown beside them.", rows
    if other := _other_setting(run):
        return f"The run called alone is not shown beside them: its {other} is another.", rows
    gain = reached["student_accuracy"] - alone["student_accuracy"]
    rows.append((f"student of the run {ALONE}", rows[1][1], *_shown(alone, "student")))
    rows.append(("difference", "", f"{gain:+.4f}", ""))
    return "One run of each is little to go by: compare.py has the spread over seeds.", rows


def _other_setting(run: Run[Any]) -> str:
    """Name a setting of the student in which a run differs from the one alone; else nothing."""
    alone = read_settings(type(run.settings), RUNS / ALONE / "config.yaml")
    for name in STUDENTS:
        if getattr(alone, name) != getattr(run.settings, name):
            return name
    return "" if alone.mode == "alone" else "mode"


def _shown(numbers: Mapping[str, float], name: str) -> tuple[str, str]:
    return f"{numbers[f'{name}_accuracy']:.4f}", f"{numbers[f'{name}_loss']:.4f}"


def _table_of_agreement(labels: Tensor, said: Mapping[str, Tensor]) -> tuple[str, Table]:
    rows: Table = [("test samples", "teacher right", "teacher wrong")]
    teacher = said["teacher"] == labels
    for word, student in (
        ("right", said["student"] == labels),
        ("wrong", said["student"] != labels),
    ):
        both = (student & teacher).sum().item(), (student & ~teacher).sum().item()
        rows.append((f"student {word}", *map(str, both)))
    alike = (said["student"] == said["teacher"]).sum().item()
    return f"They say the same of {alike} of {len(labels)}, right or wrong.", rows


@torch.no_grad()
def _predict(
    models: Mapping[str, nn.Module], data: Iterable[tuple[Tensor, Tensor]], device: torch.device
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Return all images and labels, and what each model takes them for, on the CPU."""
    images, labels = (torch.cat(parts) for parts in zip(*data, strict=True))
    there = images.to(device)
    said = {name: model.eval()(there).argmax(dim=1).cpu() for name, model in models.items()}
    return images, labels, said
