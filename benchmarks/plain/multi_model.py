"""
The task of the multi-model template, written plainly: PyTorch, NumPy and a loop.

    python benchmarks/plain/multi_model.py --max-epochs 40

The same models, data, steps, validations, log lines, best checkpoints and checkpoint of
each epoch as the template's default; it cannot go on where it stopped, and has no report.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, TensorDataset

DIGITS = Path(__file__).parents[2] / "templates" / "multi-model" / "data" / "digits.npz"
LABELS, LABELLED_BATCH, BATCH, TEMPERATURE = 100, 50, 64, 4.0
LRS = {"student": 1e-2, "teacher": 4e-3}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--max-epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    torch.manual_seed(chosen.seed)
    torch.set_num_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    folder = Path("runs") / "plain"
    folder.mkdir(parents=True, exist_ok=True)

    with np.load(DIGITS) as file:
        images = torch.from_numpy(file["images"]).float().unsqueeze(1) / 16
        labels = torch.from_numpy(file["labels"]).long()
    a_fifth = len(labels) // 5
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(chosen.seed))
    valid, test, train = order.split([a_fifth, a_fifth, len(labels) - 2 * a_fifth])
    few = train[:LABELS]
    labelled = cycle(make_loader(images[few], labels[few], LABELLED_BATCH))
    unlabelled = make_loader(images[train], labels[train], BATCH)
    validation = DataLoader(TensorDataset(images[valid], labels[valid]), batch_size=512)
    testing = DataLoader(TensorDataset(images[test], labels[test]), batch_size=512)

    models = {"student": make_student(64).to(device), "teacher": make_teacher(32).to(device)}
    student, teacher = models["student"], models["teacher"]
    optimizers = {
        name: torch.optim.AdamW(model.parameters(), LRS[name], weight_decay=0.05)
        for name, model in models.items()
    }
    steps = chosen.max_epochs * len(unlabelled)
    schedulers = {name: LambdaLR(optimizers[name], make_schedule(steps)) for name in models}
    best = dict.fromkeys(models, -1.0)
    averages: dict[str, Tensor] = {}
    iteration = 0

    with (folder / "metrics.jsonl").open("w") as log:
        for epoch in range(1, chosen.max_epochs + 1):
            averages.clear()
            for others, hidden in unlabelled:
                known, known_labels = next(labelled)
                both = torch.cat([known, others]).to(device)
                both_labels = torch.cat([known_labels, hidden]).to(device)
                with torch.no_grad():
                    targets = teacher.eval()(both)
                scores = student.train()(both)
                losses = {
                    "student_loss": F.cross_entropy(
                        scores[: len(known)], both_labels[: len(known)]
                    ),
                    "student_soft_loss": distillation_loss(scores, targets),
                    "teacher_loss": F.cross_entropy(teacher.train()(both), both_labels),
                }
                torch.stack(list(losses.values())).sum().backward()
                for name in models:
                    optimizers[name].step()
                    optimizers[name].zero_grad()
                    schedulers[name].step()
                iteration += 1
                for name, loss in losses.items():
                    value = loss.detach()
                    averages[name] = torch.lerp(value, averages.get(name, value), 0.9)
                if iteration % 10 == 0:
                    write(log, "train", epoch, iteration, averages)
            metrics = evaluate(models, validation, device)
            write(log, "train", epoch, iteration, averages)
            write(log, "valid", epoch, iteration, metrics)
            print(epoch, metrics, flush=True)
            for name, model in models.items():
                if metrics[f"{name}_accuracy"] > best[name]:
                    best[name] = metrics[f"{name}_accuracy"]
                    torch.save(model.state_dict(), folder / f"best_{name}.pt")
            checkpoint = {name: model.state_dict() for name, model in models.items()}
            checkpoint |= {f"{n}_optimizer": each.state_dict() for n, each in optimizers.items()}
            torch.save(checkpoint, folder / "last.pt")

    for name, model in models.items():
        model.load_state_dict(torch.load(folder / f"best_{name}.pt", weights_only=True))
    print("test", evaluate(models, testing, device))


def make_student(width: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Flatten()]
    for size in (64, width):
        layers += [nn.Linear(size, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, 10))


def make_teacher(width: int) -> nn.Module:
    layers: list[nn.Module] = []
    for before, after in ((1, width), (width, width), (width, 2 * width), (2 * width, 2 * width)):
        if len(layers) == 6:
            layers.append(nn.MaxPool2d(2))
        convolution = nn.Conv2d(before, after, 3, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(after), nn.ReLU()]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(2 * width, 10)]
    return nn.Sequential(*layers, *head)


def distillation_loss(scores: Tensor, targets: Tensor) -> Tensor:
    ours = F.log_softmax(scores / TEMPERATURE, dim=1)
    theirs = F.log_softmax(targets / TEMPERATURE, dim=1)
    return TEMPERATURE**2 * F.kl_div(ours, theirs, reduction="batchmean", log_target=True)


def make_loader(images: Tensor, labels: Tensor, batch_size: int) -> DataLoader[Any]:
    """Return shuffled batches, each sliced and moved at once, as fast as a person would have it."""

    def collate(indices: list[int]) -> tuple[Tensor, Tensor]:
        chosen = torch.tensor(indices)
        return shift_at_random(images[chosen], 1), labels[chosen]

    indices: Any = range(len(labels))
    return DataLoader(indices, batch_size=batch_size, shuffle=True, collate_fn=collate)


def cycle(loader: DataLoader[Any]) -> Iterator[Any]:
    return itertools.chain.from_iterable(loader for _ in itertools.count())


def shift_at_random(images: Tensor, most: int) -> Tensor:
    count, _, height, width = images.shape
    padded = F.pad(images, [most] * 4)
    down, right = torch.randint(0, 2 * most + 1, (2, count, 1))
    rows, columns = down + torch.arange(height), right + torch.arange(width)
    samples = torch.arange(count)[:, None, None]
    return padded[samples, :, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)


def make_schedule(steps: int) -> Any:
    rise = round(0.1 * steps)

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        return 0.5 * (1 + math.cos(math.pi * min((step - rise) / max(steps - rise, 1), 1.0)))

    return factor


@torch.no_grad()
def evaluate(
    models: dict[str, nn.Module], data: DataLoader[Any], device: torch.device
) -> dict[str, float]:
    sums: dict[str, float] = {}
    count = 0
    for images, labels in data:
        images, labels = images.to(device), labels.to(device)
        scores = {name: model.eval()(images) for name, model in models.items()}
        said = {name: each.argmax(dim=1) for name, each in scores.items()}
        numbers = {"agreement": (said["student"] == said["teacher"]).sum()}
        for name in models:
            numbers[f"{name}_accuracy"] = (said[name] == labels).sum()
            numbers[f"{name}_loss"] = F.cross_entropy(scores[name], labels, reduction="sum")
        for name, number in numbers.items():
            sums[name] = sums.get(name, 0.0) + number.item()
        count += len(labels)
    return {name: number / count for name, number in sums.items()}


def write(log: Any, split: str, epoch: int, iteration: int, values: dict[str, Any]) -> None:
    line = {"split": split, "epoch": epoch, "iteration": iteration}
    log.write(json.dumps({**line, **{name: float(value) for name, value in values.items()}}) + "\n")
    log.flush()


if __name__ == "__main__":
    main()
