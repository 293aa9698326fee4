"""Which samples train, which validate and which test: by a seed, alike on every machine."""

from __future__ import annotations

import torch
from torch import Tensor

from scaffold_runtime.errors import UserError

Splits = dict[str, Tensor]  # Indices of samples by "train", "valid" and "test".


def split_samples(count: int, seed: int = 0) -> Splits:
    """
    Divide samples at random: a fifth to validate, a fifth to test, the others to train.

    >>> {name: len(indices) for name, indices in split_samples(11).items()}
    {'train': 7, 'valid': 2, 'test': 2}
    """
    a_fifth = count // 5
    order = _shuffled(count, seed)
    valid, test, train = torch.tensor_split(order, [a_fifth, 2 * a_fifth])
    return {"train": train, "valid": valid, "test": test}


def hold_out(indices: Tensor, held_out: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """
    Divide indices at random: all but so many, and these.

    >>> rest, held_out = hold_out(torch.arange(6), held_out=2)
    >>> len(rest), len(held_out)
    (4, 2)
    """
    order = indices[_shuffled(len(indices), seed)]
    return order[held_out:], order[:held_out]


def choose_fold(splits: Splits, targets: Tensor, folds: int, fold: int, seed: int = 0) -> Splits:
    """
    Divide what trains and validates anew: into folds of which one validates.

    Sorted by their targets, of each `folds` neighbours one goes to each fold: so the
    folds have their share of every class, within two samples, and of small and large
    targets. The test split stays as it is.

    Args:
        splits: By "train", "valid" and "test".
        targets: Labels or numbers of all samples, `(N,)` or `(N, 1)`.
        folds: How many, at least 2.
        fold: The one that validates, from 0.
        seed: Decides which samples go where, alike for each `fold`.

    Raises:
        UserError: There is no such fold, or there are fewer samples than folds.

    >>> splits = {"train": torch.arange(6), "valid": torch.arange(6, 8), "test": torch.tensor([8])}
    >>> labels = torch.tensor([0, 1, 0, 1, 0, 1, 0, 1, 0])
    >>> chosen = choose_fold(splits, labels, folds=4, fold=0)
    >>> len(chosen["train"]), labels[chosen["valid"]].tolist(), chosen["test"].tolist()
    (6, [0, 1], [8])
    """
    pool = torch.cat([splits["train"], splits["valid"]])
    if not 0 <= fold < folds or folds < 2 or folds > len(pool):
        raise UserError(f"there is no fold {fold} of {folds} folds of {len(pool)} samples")
    pool = pool[_shuffled(len(pool), seed)]
    pool = pool[targets.flatten()[pool].argsort(stable=True)]
    generator = torch.Generator().manual_seed(seed)
    rows = -(-len(pool) // folds)
    folds_of = torch.rand(rows, folds, generator=generator).argsort(dim=1).flatten()[: len(pool)]
    return {**splits, "train": pool[folds_of != fold], "valid": pool[folds_of == fold]}


def _shuffled(count: int, seed: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


def class_weights(labels: Tensor, classes: int = 0) -> Tensor:
    """
    Return a weight for each class `(C,)` that gives all of them the same share.

    That is N / (C * its samples), so that the mean over samples is 1; 0 for a class
    without samples.

    Args:
        labels: Whole numbers from 0, `(N,)`.
        classes: C, if it is more than the labels show.

    >>> class_weights(torch.tensor([0, 0, 0, 1]))
    tensor([0.6667, 2.0000])
    """
    counts = torch.bincount(labels, minlength=classes)
    return torch.where(counts > 0, len(labels) / (len(counts) * counts.clamp(min=1)), 0.0)
