"""
The gan template's task, written plainly in one file without the runtime.

    python benchmarks/plain/gan.py --max-epochs 120

A DCGAN on the digits with the non-saturating loss and an averaged generator; losses every ten
iterations in metrics.jsonl, a grid of samples and a checkpoint each epoch, and every five
epochs the Frechet distance in the features of a classifier, by which the best is kept. No
settings but these, no other losses or data, no resume, no report; files are not flushed to disk.
"""

from __future__ import annotations

import argparse
import copy
import json
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

DIGITS = Path(__file__).resolve().parents[2] / "templates" / "gan" / "data" / "digits.npz"
NOISE, WIDTH, BATCH, DRAWS, FEATURES = 32, 32, 32, 5, 32


def make_generator() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (NOISE, 1, 1)),
        nn.ConvTranspose2d(NOISE, 2 * WIDTH, 4, bias=False),
        nn.BatchNorm2d(2 * WIDTH),
        nn.ReLU(),
        nn.ConvTranspose2d(2 * WIDTH, WIDTH, 4, 2, 1, bias=False),
        nn.BatchNorm2d(WIDTH),
        nn.ReLU(),
        nn.Conv2d(WIDTH, 1, 3, padding=1),
        nn.Tanh(),
    ).apply(initialise)


def make_discriminator() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, WIDTH, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(WIDTH, 2 * WIDTH, 4, 2, 1, bias=False),
        nn.BatchNorm2d(2 * WIDTH),
        nn.LeakyReLU(0.2),
        nn.Conv2d(2 * WIDTH, 1, 4),
        nn.Flatten(0),
    ).apply(initialise)


def initialise(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, 0.0, 0.02)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)


def train_classifier(images: Tensor, labels: Tensor) -> nn.Module:
    """Return the features of a classifier that was trained for 300 updates."""
    layers: list[nn.Module] = []
    for before, after, stride in ((1, 16, 1), (16, 32, 2), (32, 64, 2)):
        layers += [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after)]
        layers += [nn.ReLU()]
    layers += [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(256, FEATURES)]
    features = nn.Sequential(*layers, nn.BatchNorm1d(FEATURES, affine=False))
    classifier = nn.Sequential(features, nn.ReLU(), nn.Linear(FEATURES, 10))
    optimizer = torch.optim.AdamW(classifier.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.01, total_steps=301)
    for _ in range(300):
        chosen = torch.randint(len(images), (64,))
        loss = F.cross_entropy(classifier(images[chosen]), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return features.eval()


def frechet_distance(one: Tensor, other: Tensor) -> float:
    one, other = one.double(), other.double()
    eigenvalues, vectors = torch.linalg.eigh(one.T.cov())
    root = vectors * eigenvalues.clamp(min=0).sqrt() @ vectors.T
    product = torch.linalg.eigvalsh(root @ other.T.cov() @ root).clamp(min=0)
    means = (one.mean(dim=0) - other.mean(dim=0)).square().sum()
    return (means + one.var(dim=0).sum() + other.var(dim=0).sum() - 2 * product.sqrt().sum()).item()


@torch.no_grad()
def measure(generator: nn.Module, features: nn.Module, images: Tensor, seed: int) -> float:
    """Return the mean Frechet distance of some sets of generated images from the real ones."""
    noise = torch.randn(DRAWS, len(images), NOISE, generator=torch.Generator().manual_seed(seed))
    real = features(images)
    return sum(frechet_distance(real, features(generator(each))) for each in noise) / DRAWS


@torch.no_grad()
def write_samples(path: Path, generator: nn.Module, noise: Tensor) -> None:
    """Write an 8 x 8 grid, each image six times as large."""
    tiles = F.pad((generator(noise) + 1) / 2, [0, 1, 0, 1], value=0.45)
    grid = tiles.reshape(8, 8, 9, 9).permute(0, 2, 1, 3).reshape(72, 72)
    large = grid.repeat_interleave(6, dim=0).repeat_interleave(6, dim=1)
    Image.fromarray(large.mul(255).round().byte().numpy()).save(path)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--max-epochs", type=int, default=120)
    max_epochs = parser.parse_args().max_epochs
    torch.manual_seed(0)
    folder = Path("runs/plain")
    (folder / "samples").mkdir(parents=True)

    with np.load(DIGITS) as file:
        images = torch.from_numpy(file["images"]).float().unsqueeze(1) / 8 - 1
        labels = torch.from_numpy(file["labels"]).long()
    order = torch.randperm(len(labels))
    valid, test, train = order.tensor_split([359, 718])
    features = train_classifier(images[train], labels[train])

    generator, discriminator = make_generator(), make_discriminator()
    averaged = copy.deepcopy(generator).eval()
    pairs = [
        (average, value)
        for average, value in zip(
            [*averaged.parameters(), *averaged.buffers()],
            [*generator.parameters(), *generator.buffers()],
            strict=True,
        )
        if value.is_floating_point()
    ]
    averages, values = (list(each) for each in zip(*pairs, strict=True))
    adam = partial(torch.optim.Adam, lr=1e-3, betas=(0.5, 0.999), fused=True)
    optimizer_g, optimizer_d = adam(generator.parameters()), adam(discriminator.parameters())
    fixed_noise = torch.randn(64, NOISE)

    iteration, best = 0, float("inf")
    running = {"loss_d": 0.0, "loss_g": 0.0}
    with (folder / "metrics.jsonl").open("w", buffering=1) as log:
        for epoch in range(1, max_epochs + 1):
            shuffled = train[torch.randperm(len(train))]
            for batch in shuffled[: len(train) // BATCH * BATCH].split(BATCH):
                real = images[batch]
                with torch.no_grad():
                    fake = generator(torch.randn(BATCH, NOISE))
                loss_d = F.softplus(-discriminator(real)).mean()
                loss_d = loss_d + F.softplus(discriminator(fake)).mean()
                optimizer_d.zero_grad()
                loss_d.backward()
                optimizer_d.step()

                loss_g = F.softplus(-discriminator(generator(torch.randn(BATCH, NOISE)))).mean()
                optimizer_g.zero_grad()
                loss_g.backward(inputs=list(generator.parameters()))
                optimizer_g.step()
                with torch.no_grad():
                    torch._foreach_lerp_(averages, values, 0.01)

                iteration += 1
                for name, loss in (("loss_d", loss_d), ("loss_g", loss_g)):
                    running[name] = 0.9 * running[name] + 0.1 * loss.item()
                if iteration % 10 == 0:
                    line = {"split": "train", "epoch": epoch, "iteration": iteration, **running}
                    log.write(json.dumps(line) + "\n")

            write_samples(folder / "samples" / f"epoch_{epoch:04}.png", averaged, fixed_noise)
            parts = (generator, discriminator, averaged, optimizer_g, optimizer_d)
            torch.save([part.state_dict() for part in parts], folder / "last.pt")
            if epoch % 5 == 0 or epoch == max_epochs:
                distance = measure(averaged, features, images[valid], seed=0)
                line = {"split": "valid", "epoch": epoch, "iteration": iteration}
                log.write(json.dumps({**line, "frechet": distance}) + "\n")
                print(f"epoch {epoch}/{max_epochs}  valid frechet {distance:.4f}")
                if distance < best:
                    best = distance
                    torch.save(averaged.state_dict(), folder / "best.pt")

    averaged.load_state_dict(torch.load(folder / "best.pt"))
    print(f"test frechet {measure(averaged, features, images[test], seed=1):.3f}")


if __name__ == "__main__":
    main()
