"""How the models learn: who in which epoch, by which losses, by which updates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

from data import UNKNOWN
from scaffold_runtime import cosine_with_warm_up

if TYPE_CHECKING:
    from train import Settings

# Both learn, the student from the teacher; the teacher before the student; each from the
# other, as equals; the student with its labels alone.
Mode = Literal["together", "frozen", "mutual", "alone"]
Criterion = Callable[[Tensor, Tensor], Tensor]


def learners(settings: Settings, epoch: int) -> list[str]:
    """Return the names of the models that learn in an epoch, counted from 1."""
    if settings.mode == "frozen":
        return ["teacher"] if epoch <= settings.teacher_epochs else ["student"]
    return ["student"] if settings.mode == "alone" else ["student", "teacher"]


def all_epochs(settings: Settings) -> int:
    """Return the epochs of a run: the student's, and those a teacher learns in before."""
    return settings.max_epochs + (settings.teacher_epochs if settings.mode == "frozen" else 0)


def make_optimizers(
    models: Mapping[str, nn.Module], settings: Settings, epoch_length: int
) -> tuple[dict[str, optim.Optimizer], dict[str, optim.lr_scheduler.LRScheduler]]:
    """
    Make an optimizer for each model, and its schedule over the steps in which it learns.

    Args:
        models: By name.
        settings: Have the peaks of the learning rates, and how long they rise.
        epoch_length: Iterations.
    """
    plans = {"student": (settings.student_lr, settings.student_warm_up, settings.max_epochs)}
    if settings.mode == "mutual":  # Peers are equal but for their first weights.
        plans["teacher"] = plans["student"]
    elif settings.mode != "alone":
        epochs = settings.teacher_epochs if settings.mode == "frozen" else settings.max_epochs
        plans["teacher"] = (settings.teacher_lr, settings.teacher_warm_up, epochs)
    optimizers: dict[str, optim.Optimizer] = {}
    schedulers: dict[str, optim.lr_scheduler.LRScheduler] = {}
    for name, (lr, warm_up, epochs) in plans.items():
        weights = models[name].parameters()
        optimizers[name] = optim.AdamW(weights, lr, weight_decay=settings.weight_decay, fused=True)
        factor = cosine_with_warm_up(epochs * epoch_length, warm_up)
        schedulers[name] = optim.lr_scheduler.LambdaLR(optimizers[name], factor)
    return optimizers, schedulers


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
