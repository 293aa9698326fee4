"""
The task of templates/supervised/train.py, written plainly: torch and the standard library.

    python benchmarks/plain/supervised.py --max-epochs 40

The same model, steps, validation, log and checkpoints; no resume, no report, no choices.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

DIGITS = Path(__file__).resolve().parents[2] / "templates" / "supervised" / "data" / "digits.npz"
BATCH_SIZE, WIDTH, DROPOUT, MAX_SHIFT, PATIENCE = 64, 32, 0.2, 1, 20
LR, WEIGHT_DECAY, WARM_UP, LOG_EVERY = 4e-3, 0.05, 0.1, 10


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--max-epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    torch.manual_seed(chosen.seed)
    folder = Path("runs", "plain")
    folder.mkdir(parents=True, exist_ok=True)

    train, valid, test = read_splits(chosen.seed)
    model = make_cnn()
    optimizer = torch.optim.AdamW(model.parameters(), LR, weight_decay=WEIGHT_DECAY)
    total = chosen.max_epochs * math.ceil(len(train[1]) / BATCH_SIZE)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: factor(step, total))
    best, score, waited, iteration, smooth = -1.0, -1.0, 0, 0, None

    with (folder / "metrics.jsonl").open("w") as log:
        for epoch in range(1, chosen.max_epochs + 1):
            right = seen = 0
            model.train()
            for images, labels in batches(*train):
                iteration += 1
                scores = model(images)
                loss = F.cross_entropy(scores, labels)
                if not torch.isfinite(loss):
                    raise SystemExit(f"the loss is {loss.item()} in iteration {iteration}")
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                scheduler.step()
                smooth = loss.item() if smooth is None else 0.9 * smooth + 0.1 * loss.item()
                right += (scores.argmax(dim=1) == labels).sum().item()
                seen += len(labels)
                if iteration % LOG_EVERY == 0:
                    write(log, "train", epoch, iteration, loss=smooth)
            valid_loss, accuracy = evaluate(model, *valid)
            write(log, "train", epoch, iteration, loss=smooth, accuracy=right / seen)
            write(log, "valid", epoch, iteration, loss=valid_loss, accuracy=accuracy)
            print(f"epoch {epoch}  train loss {smooth:.4f}  valid accuracy {accuracy:.4f}")
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save(state, folder / "last.pt")
            waited += 1
            if accuracy > best:
                best, waited = accuracy, 0
            if accuracy - 1e-6 * valid_loss > score:  # Equal: the smaller loss wins.
                score = accuracy - 1e-6 * valid_loss
                torch.save(model.state_dict(), folder / "best.pt")
            if waited == PATIENCE:
                break
    model.load_state_dict(torch.load(folder / "best.pt"))
    print(f"test accuracy {evaluate(model, *test)[1]:.4f}")


def read_splits(seed: int) -> list[tuple[Tensor, Tensor]]:
    with np.load(DIGITS) as file:
        images = torch.from_numpy(file["images"]).float().unsqueeze(1) / 16
        labels = torch.from_numpy(file["labels"]).long()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    a_fifth = len(labels) // 5
    valid, test, train = order.split([a_fifth, a_fifth, len(labels) - 2 * a_fifth])
    return [(images[chosen], labels[chosen]) for chosen in (train, valid, test)]


def batches(images: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    for chosen in torch.randperm(len(labels)).split(BATCH_SIZE):
        yield shift(images[chosen]), labels[chosen]


def shift(images: Tensor) -> Tensor:
    count, _, height, width = images.shape
    padded = F.pad(images, [MAX_SHIFT] * 4)
    down, right = torch.randint(0, 2 * MAX_SHIFT + 1, (2, count, 1))
    rows, columns = down + torch.arange(height), right + torch.arange(width)
    samples = torch.arange(count)[:, None, None]
    return padded[samples, :, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)


def factor(step: int, total: int) -> float:
    rise = round(WARM_UP * total)
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * min((step - rise) / max(total - rise, 1), 1.0)))


def make_cnn() -> nn.Module:
    def convolution(channels_in: int, channels_out: int) -> list[nn.Module]:
        layer = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
        return [layer, nn.BatchNorm2d(channels_out), nn.ReLU()]

    return nn.Sequential(
        *convolution(1, WIDTH),
        *convolution(WIDTH, WIDTH),
        nn.MaxPool2d(2),
        *convolution(WIDTH, 2 * WIDTH),
        *convolution(2 * WIDTH, 2 * WIDTH),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(DROPOUT),
        nn.Linear(2 * WIDTH, 10),
    )


@torch.no_grad()
def evaluate(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[float, float]:
    model.eval()
    scores = model(images)
    right = (scores.argmax(dim=1) == labels).sum().item()
    return F.cross_entropy(scores, labels).item(), right / len(labels)


def write(log, split: str, epoch: int, iteration: int, **values: float) -> None:
    log.write(json.dumps({"split": split, "epoch": epoch, "iteration": iteration, **values}) + "\n")
    log.flush()


if __name__ == "__main__":
    main()
