"""What the settings choose: optimizer, schedule, loss and metrics; and which of them do not fit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from data import Data, DataSettings, check_data_settings, refuse
from kept import OWN, KeptData, KnownData
from scaffold_runtime import Engine, Metric, Run, TableSet, Updater
from scaffold_runtime.data import class_weights
from scaffold_runtime.handlers import EMA
from scaffold_runtime.metrics import (
    Accuracy,
    Loss,
    MeanAbsoluteError,
    R2Score,
    RootMeanSquaredError,
)
from scaffold_runtime.report import report_classification, report_regression
from scaffold_runtime.schedules import cosine_with_warm_up
from scaffold_runtime.settings import Amount, Range, Share, Size, refuse_unused

if TYPE_CHECKING:
    from train import Settings

Part = Annotated[float, Range(0, 0.999)]  # A share that leaves something for the rest.


@dataclass(frozen=True)
class TrainingSettings(DataSettings):
    """How to learn; `Settings` in train.py has these, too, and those of data.py."""

    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    momentum: Part = 0.9  # Of sgd: the share of its last step that it takes again.
    schedule: Literal["cosine", "constant", "plateau"] = "cosine"  # Of the learning rate.
    warm_up: Part = 0.1  # Of cosine: the share of the run in which the rate rises.
    halve_after: Size = 6  # Of plateau: validations without a better score that halve the rate.
    accumulate: Size = 1  # Batches for one update of the weights.
    clip_norm: Amount = 0.0  # The largest norm of all gradients together; 0 sets no limit.
    ema: Share = 0.0  # What averaged weights keep of themselves at an update: 0.99; 0 for none.
    label_smoothing: Part = 0.0  # Share of each target that is spread over all classes.
    class_weights: bool = False  # Give all classes the same weight in the loss.
    precision: Literal["32", "bf16", "fp16"] = "32"  # Bits to compute with, where that is safe.
    compile: bool = False  # Compile the model: a slow start, then faster steps on a GPU.


# Settings that have an effect only where another has one of these values.
ONLY_WITH = {
    "grey": ("dataset", ["image-folder"]),
    "cache": ("dataset", ["fashion-mnist", "mnist"]),
    "momentum": ("optimizer", ["sgd"]),
    "warm_up": ("schedule", ["cosine"]),
    "halve_after": ("schedule", ["plateau"]),
    "label_smoothing": ("task", ["classification"]),
    "class_weights": ("task", ["classification"]),
    "balanced_sampling": ("task", ["classification"]),
}
IMAGE_SETS = ["digits", "fashion-mnist", "mnist", "image-folder"]
NOT_WITH_CSV = dict.fromkeys(["image_size", "max_shift"], ("dataset", IMAGE_SETS))
NOT_WITH_LINEAR = dict.fromkeys(["width", "dropout"], ("model", ["cnn", "mlp", "resnet"]))


def check_settings(settings: Settings) -> None:
    """Refuse settings that contradict each other or have no effect, before anything is read."""
    check_data_settings(settings)
    refuse(
        settings.dataset == "csv" and settings.model in ("cnn", "resnet"),
        f"--model {settings.model} is for images; rows of a csv go with --model mlp or linear",
    )
    refuse(
        settings.balanced_sampling and settings.class_weights,
        "--class-weights and --balanced-sampling would balance twice; give one of them",
    )
    refuse(settings.ema == 1, "--ema 1 would keep the first weights forever; try 0.99")
    if settings.resume or settings.evaluate:
        return  # What goes on keeps the settings that it began with.
    refuse_unused(settings, ONLY_WITH)
    if settings.dataset == "csv":
        refuse_unused(settings, NOT_WITH_CSV)
    if settings.model == "linear":
        refuse_unused(settings, NOT_WITH_LINEAR)


def make_optimizer(settings: Settings, model: nn.Module) -> optim.Optimizer:
    """Make the optimizer that the settings name; fused, it updates all weights in one go."""
    parameters, lr, decay = model.parameters(), settings.lr, settings.weight_decay
    if settings.optimizer == "sgd":
        return optim.SGD(parameters, lr, settings.momentum, weight_decay=decay, fused=True)
    if settings.optimizer == "adam":
        return optim.Adam(parameters, lr, weight_decay=decay, fused=True)
    return optim.AdamW(parameters, lr, weight_decay=decay, fused=True)


def make_scheduler(settings: Settings, optimizer: optim.Optimizer, iterations: int) -> Any:
    """Make the schedule of the learning rate, over the updates of so many iterations."""
    if settings.schedule == "plateau":
        # "abs": relative to a best score below 0, as R2 may be, a worse one would be better.
        patience = settings.halve_after - 1
        return ReduceLROnPlateau(optimizer, "max", 0.5, patience, threshold_mode="abs")
    if settings.schedule == "constant":
        return LambdaLR(optimizer, lambda update: 1.0)
    in_an_epoch = math.ceil(iterations / settings.max_epochs / settings.accumulate)
    updates = settings.max_epochs * in_an_epoch  # The last of an epoch may have fewer batches.
    return LambdaLR(optimizer, cosine_with_warm_up(updates, settings.warm_up))


def kept_parts(settings: Settings, model: nn.Module, data: Data | KnownData) -> dict[str, Any]:
    """Return what a best checkpoint has: the model, and what it must know of files of data."""
    if settings.dataset not in OWN:
        return {"model": model}
    return {"model": model, "data": KeptData(data.samples if isinstance(data, Data) else None)}


def further_parts(settings: Settings, updater: Updater, ema: EMA | NoEMA) -> dict[str, Any]:
    """Return what must be saved as well: gradients that wait for an update, averaged weights."""
    waits = settings.accumulate > 1 or settings.precision == "fp16"
    return ({"updater": updater} if waits else {}) | ({"ema": ema} if settings.ema else {})


def make_ema(settings: Settings, model: nn.Module) -> EMA | NoEMA:
    """
    Make the average of the weights, if there is to be one.

    It begins as the plain mean of the weights, so that it forgets the first ones. The
    statistics of batch normalisation are averaged alike.
    """
    return EMA(model, 1 - settings.ema, mean_first=True) if settings.ema else NoEMA()


class NoEMA:
    """Stands for an average of the weights where there is none."""

    def update(self) -> None:
        """Do nothing."""

    def averaged(self) -> AbstractContextManager[None]:
        """Leave the model as it is."""
        return nullcontext()


def make_updater(
    settings: Settings, optimizer: optim.Optimizer, device: torch.device
) -> tuple[Updater, torch.autocast]:
    """Make what accumulates, scales and clips gradients, and what computes in fewer bits."""
    bits = {"32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[settings.precision]
    scaler = torch.amp.GradScaler(device.type) if settings.precision == "fp16" else None
    updater = Updater(optimizer, settings.accumulate, settings.clip_norm or None, scaler=scaler)
    return updater, torch.autocast(device.type, dtype=bits, enabled=bits is not None)


def make_criterion(settings: Settings, data: Data) -> nn.Module:
    """Make the loss that is trained with; validation goes by plain cross-entropy or error."""
    if settings.task == "regression":
        return nn.MSELoss()
    labels = data.samples.labels[data.samples.splits["train"]]
    weight = class_weights(labels, len(data.samples.class_names))
    return nn.CrossEntropyLoss(
        weight if settings.class_weights else None, label_smoothing=settings.label_smoothing
    )


def choose_metrics(
    settings: Settings,
    data: Data,
    trainer: Engine,
    evaluator: Engine,
    metrics: Mapping[str, Metric],
) -> str:
    """
    Name the score; for a regression, measure errors in the place of what measures classes.

    The metrics of train.py are those of a classification: a regression does without them and
    has those of `make_regression_metrics`.
    """
    if settings.task == "classification":
        return "accuracy"
    for metric in trainer.attached().values():
        if isinstance(metric, Accuracy):
            metric.detach(trainer)
    for metric in metrics.values():
        metric.detach(evaluator)
    for name, metric in make_regression_metrics(data).items():
        metric.attach(evaluator, name)
    return "r2"


def make_regression_metrics(data: Data) -> dict[str, Metric]:
    """Make the metrics of a regression; errors are in the units of the file."""
    table = data.samples
    assert isinstance(table, TableSet)

    def in_units(output: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return table.in_units(output[0]), table.in_units(output[1])

    return {
        "loss": Loss(F.mse_loss),
        "mae": MeanAbsoluteError(in_units),
        "rmse": RootMeanSquaredError(in_units),
        "r2": R2Score(),
    }


def tiebreak(loss: float) -> float:
    """Return what a loss takes from a score, so that it decides between equal scores alone."""
    return 1e-8 * (1 - 1 / (1 + loss))


def report_outcome(run: Run, model: nn.Module, data: Data, reached: dict[str, float]) -> Path:
    """Write the report that the task calls for."""
    if isinstance(data.samples, TableSet) and run.settings.task == "regression":
        return report_regression(run, model, data.test, reached, data.samples.in_units)
    return report_classification(run, model, data.test, data.samples.class_names, reached)
