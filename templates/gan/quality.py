"""
How good generated images are, as numbers: from the features of a classifier of our own.

The usual Frechet distance takes the features of a network trained on ImageNet, which know nothing
of small digits. So a small classifier is trained here, on the training split, and kept under
`runs/.classifiers` for all runs on the same data: their numbers can be compared, also where
`--seed` differs. Another `--data-seed` makes another split and another classifier, and numbers
that are not of one scale with these.
"""

from __future__ import annotations

import hashlib
import json
import math
from itertools import islice, pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data import MEASURED, Data
from scaffold_runtime import (
    CheckpointError,
    Engine,
    Events,
    Metric,
    Run,
    read_checkpoint,
    to_device,
    write_checkpoint,
)
from scaffold_runtime.data.random_scope import random_scope
from scaffold_runtime.run_settings import RUNS

FEATURES = 32  # Few: a covariance has to be estimated from some hundred images.


# --- Measuring ----------------------------------------------------------------


def make_evaluator(
    run: Run[Any], data: Data, generator: nn.Module, classifier: Classifier
) -> Engine:
    """
    Make an engine that measures generated images beside the real ones that it is run on.

    For each real image it generates one or more, so that there are about `MEASURED` of them. Their
    noise comes from a generator of random numbers of its own: measuring does not change what is
    trained. It is the same each time, but for the test another than for the validation: the best
    checkpoint was chosen on that one, and its luck with it would flatter it.
    """
    noise = torch.Generator()
    draws = max(1, MEASURED // len(data.valid.dataset))

    @torch.no_grad()
    def evaluation_step(evaluator: Engine, batch: Any) -> tuple[Tensor, Tensor]:
        generator.eval()
        images, _ = to_device(batch, run.device)
        drawn = torch.randn(draws, len(images), run.settings.noise_size, generator=noise)
        generated = torch.stack(
            [classifier.features(generator(each)) for each in drawn.to(run.device)]
        )
        return classifier.features(images), generated

    evaluator = Engine(evaluation_step)

    @evaluator.on(Events.STARTED)
    def begin_the_noise() -> None:
        noise.manual_seed(1 if evaluator.state.dataloader is data.test else 0)

    FrechetDistance().attach(evaluator, "frechet")
    ClassShares(classifier).attach(evaluator, "class_shares")
    return evaluator


class FrechetDistance(Metric):
    """
    The distance of the features of generated images from those of real ones.

    `update` takes those of real images `(B, F)` and of K times as many generated ones `(K, B, F)`.
    The value is the mean of K distances, each between sets of as many images: an estimate from
    few images is too large, and so all are too large alike and can be compared.
    """

    def reset(self) -> None:
        self.real: list[Tensor] = []
        self.generated: list[Tensor] = []

    def update(self, output: tuple[Tensor, Tensor]) -> None:
        real, generated = output
        self.real.append(real)
        self.generated.append(generated)

    def compute(self) -> float:
        real = torch.cat(self.real)
        distances = [frechet_distance(real, each) for each in torch.cat(self.generated, dim=1)]
        return sum(distances) / len(distances)


class ClassShares(Metric):
    """
    How many of the images the classifier assigns to each class, of the real and the generated.

    `share_gap` is the largest difference between the two, over the classes.
    """

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        super().__init__(metrics_result_mode="flatten")

    def reset(self) -> None:
        self.real: Tensor | int = 0
        self.generated: Tensor | int = 0

    def update(self, output: tuple[Tensor, Tensor]) -> None:
        real, generated = output
        self.real = self.real + self._count(real)
        self.generated = self.generated + self._count(generated.flatten(0, 1))

    def compute(self) -> dict[str, Any]:
        real, generated = (
            (counts / counts.sum()).tolist()
            for counts in (torch.as_tensor(self.real), torch.as_tensor(self.generated))
        )
        gap = max(abs(one - other) for one, other in zip(real, generated, strict=True))
        return {"share_gap": gap, "real_shares": real, "generated_shares": generated}

    def _count(self, features: Tensor) -> Tensor:
        scores = self._classifier.head(features)
        return torch.bincount(scores.argmax(dim=1), minlength=scores.shape[1])


def frechet_distance(one: Tensor, other: Tensor) -> float:
    """
    Return the squared Frechet distance between Gaussians fitted to features, each `(N, F)`.

        |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))

    for means m and covariances C, as Heusel et al. 2017 (https://arxiv.org/abs/1706.08500) call
    FID. `C1 C2` has the eigenvalues of the symmetric `C1^(1/2) C2 C1^(1/2)`, which are found
    without the square root of a matrix that is not symmetric.
    """
    one, other = one.cpu().double(), other.cpu().double()  # Not every device has doubles.
    if not (one.isfinite().all() and other.isfinite().all()):
        return math.nan  # The generator has come to no good, and is never the best.
    root = square_root(one.T.cov())
    eigenvalues = torch.linalg.eigvalsh(root @ other.T.cov() @ root).clamp(min=0)
    means = (one.mean(dim=0) - other.mean(dim=0)).square().sum()
    traces = one.var(dim=0).sum() + other.var(dim=0).sum() - 2 * eigenvalues.sqrt().sum()
    return (means + traces).item()


def square_root(matrix: Tensor) -> Tensor:
    """Return the root of a symmetric matrix without negative eigenvalues, but for rounding."""
    eigenvalues, vectors = torch.linalg.eigh(matrix)
    return vectors * eigenvalues.clamp(min=0).sqrt() @ vectors.T


@torch.no_grad()
def measure_real_images(run: Run[Any], data: Data, classifier: Classifier) -> tuple[float, float]:
    """
    Return the distance between two halves of the real images, and the classifier's accuracy on all.

    They are the validation and test data, on which nothing is trained. The distance is a mean over
    20 random halvings; a generator would reach it that draws from the real distribution.
    """
    batches = [
        (classifier.features(images.to(run.device)), labels.to(run.device))
        for loader in (data.valid, data.test)
        for images, labels in islice(loader, run.valid_length)
    ]
    features, labels = (torch.cat(each) for each in zip(*batches, strict=True))
    right = classifier.head(features).argmax(dim=1) == labels
    random = torch.Generator().manual_seed(0)
    half, distances = len(features) // 2, []
    for _ in range(20):
        order = torch.randperm(len(features), generator=random)
        distances.append(frechet_distance(features[order[:half]], features[order[half : 2 * half]]))
    return sum(distances) / len(distances), right.float().mean().item()


# --- The classifier -----------------------------------------------------------


class Classifier(nn.Module):
    """
    Maps images `(N, C, H, W)` to features `(N, FEATURES)`, and these to scores `(N, classes)`.

    Over the training data each feature has about mean 0 and variance 1, so that the distances that
    different classifiers measure are of one scale.
    """

    def __init__(self, channels: int, size: int, classes: int) -> None:
        super().__init__()
        widths = [channels, 16, 32, 64]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            stride = 1 if before == channels else 2
            layers += [
                nn.Conv2d(before, after, kernel_size=3, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            ]
        side = math.ceil(size / 4)  # After two strides; the pool leaves 2 of them.
        pool = [nn.AvgPool2d(math.ceil(side / 2), stride=side // 2), nn.Flatten()]
        last = [nn.Linear(4 * widths[-1], FEATURES), nn.BatchNorm1d(FEATURES, affine=False)]
        self.features = nn.Sequential(*layers, *pool, *last)
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(FEATURES, classes))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images))


def make_classifier(run: Run[Any], data: Data) -> Classifier:
    """Return the classifier of these data: the one that was kept, or a new one."""
    settings = run.settings
    about = [settings.dataset, settings.path, settings.data_seed, settings.classifier_steps]
    about += [data.shape, data.class_names, data.fingerprint]
    digest = hashlib.sha256(json.dumps(about).encode()).hexdigest()
    # A trial run, which leaves nothing, has a temporary folder.
    folder = run.folder if run.is_trial else RUNS / ".classifiers"
    path = folder / f"{settings.dataset}-{digest[:12]}.pt"
    # A run draws the same numbers afterwards, whether it trains one or not.
    with random_scope(settings.data_seed):
        classifier = make_untrained(data).to(run.device)
        try:
            classifier.load_state_dict(read_checkpoint(path)["classifier"])
        except (OSError, CheckpointError, KeyError, RuntimeError):  # None, or one that was changed.
            classifier = make_untrained(data).to(run.device)  # Half of the other may be loaded.
            steps = 1 if run.is_trial else settings.classifier_steps
            train_classifier(classifier, data.train.dataset, steps, run.device)
            write_checkpoint(path, {"classifier": classifier.state_dict()})
    return classifier.eval().requires_grad_(False)


def make_untrained(data: Data) -> Classifier:
    """Return a classifier with new weights."""
    channels, size, _ = data.shape
    return Classifier(channels, size, len(data.class_names))


def train_classifier(
    classifier: Classifier, dataset: Any, steps: int, device: torch.device, batch_size: int = 64
) -> None:
    """Train for so many updates, with a learning rate that rises and falls."""
    optimizer = torch.optim.AdamW(classifier.parameters(), weight_decay=0.05, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.01, total_steps=steps + 1)
    for _ in range(steps):
        chosen = torch.randint(len(dataset), (batch_size,))
        images, labels = to_device(dataset.__getitems__(chosen), device)
        loss = F.cross_entropy(classifier(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
