"""How the models learn: by which losses, and by which updates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

from data import UNKNOWN
from scaffold_runtime import cosine_with_warm_up
from scaffold_runtime.settings import Range

if TYPE_CHECKING:
    from train import Settings

Schedule = Literal["cosine", "constant"]  # After the rise: a fall to 0, or none.
Temperature = Annotated[float, Range(0.1, 100)]
Criterion = Callable[[Tensor, Tensor], Tensor]


def make_optimizers(
    models: Mapping[str, nn.Module], settings: Settings, epoch_length: int
) -> tuple[dict[str, optim.Optimizer], dict[str, optim.lr_scheduler.LRScheduler]]:
    """
    Make an optimizer for each model, and its schedule over the steps in which it learns.

    Args:
        models: By name.
        settings: Have the peaks of the learning rates, how long they rise, and whether they fall.
        epoch_length: Iterations.
    """
    of_student = settings.student_schedule, settings.student_warm_up
    of_teacher = settings.teacher_schedule, settings.teacher_warm_up
    plans = {"student": (settings.student_lr, settings.max_epochs, *of_student)}
    if settings.mode == "mutual":  # Peers are equal but for their first weights.
        plans["teacher"] = plans["student"]
    elif settings.mode != "alone":
        epochs = settings.teacher_epochs if settings.mode == "frozen" else settings.max_epochs
        plans["teacher"] = (settings.teacher_lr, epochs, *of_teacher)
    optimizers: dict[str, optim.Optimizer] = {}
    schedulers: dict[str, optim.lr_scheduler.LRScheduler] = {}
    for name, (lr, epochs, schedule, warm_up) in plans.items():
        weights = models[name].parameters()
        optimizers[name] = optim.AdamW(weights, lr, weight_decay=settings.weight_decay, fused=True)
        factor = make_factor(schedule, epochs * epoch_length, warm_up)
        schedulers[name] = optim.lr_scheduler.LambdaLR(optimizers[name], factor)
    return optimizers, schedulers


def make_factor(schedule: Schedule, steps: int, warm_up: float) -> Callable[[int], float]:
    """Return a function from the step to the factor of the peak: after a rise, cosine or 1."""
    if schedule == "cosine":
        return cosine_with_warm_up(steps, warm_up)
    rise = max(round(warm_up * steps), 1)
    return lambda step: min((step + 1) / rise, 1.0)


def make_criteria(settings: Settings) -> tuple[Criterion, Criterion]:
    """
    Return the loss against labels, and that against soft targets, which has a weight.

    Peers have a temperature of their own: with 1, theirs is the loss of Zhang, Xiang,
    Hospedales and Lu, "Deep Mutual Learning" (2018).
    """
    is_mutual = settings.mode == "mutual"
    temperature = settings.peer_temperature if is_mutual else settings.temperature

    def soft(scores: Tensor, targets: Tensor) -> Tensor:
        return settings.soft_weight * distillation_loss(scores, targets, temperature)

    return nn.CrossEntropyLoss(ignore_index=UNKNOWN), soft


def choose_targets(
    settings: Settings,
    models: Mapping[str, nn.Module],
    scores: Mapping[str, Tensor],
    images: Tensor,
) -> dict[str, Tensor]:
    """
    Return what learners go by beside labels, by their names: the scores of another model.

    Args:
        settings: Have the mode.
        models: By name.
        scores: Of those that learn, in training.
        images: All of the batch.
    """
    if settings.mode == "mutual":  # As in the paper, peers learn from scores in training.
        return {"student": scores["teacher"], "teacher": scores["student"]}
    if settings.mode == "alone" or "student" not in scores:
        return {}
    return {"student": soft_targets(models["teacher"], images)}


@torch.no_grad()
def soft_targets(model: nn.Module, images: Tensor) -> Tensor:
    """
    Return a model's scores for others to learn from, without gradient, in evaluation mode.

    So they are what the model would say when used: without the noise of dropout, and for
    each image the same, whichever others are in its batch.
    """
    scores: Tensor = model.eval()(images)
    return scores


def distillation_loss(scores: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """
    Return how far scores are from another model's: `T^2 KL(targets || scores)`.

    Both, `(N, classes)`, are divided by the temperature T before the softmax; the
    divergence is the mean over the samples. Softening makes the gradients `1 / T^2` as
    large, which the factor makes up for: T can be changed, and the weight stay. No
    gradient goes to the targets. From Hinton, Vinyals and Dean, "Distilling the
    Knowledge in a Neural Network" (2015), section 2.
    """
    ours = F.log_softmax(scores / temperature, dim=1)
    theirs = F.log_softmax(targets.detach() / temperature, dim=1)
    return temperature**2 * F.kl_div(ours, theirs, reduction="batchmean", log_target=True)
