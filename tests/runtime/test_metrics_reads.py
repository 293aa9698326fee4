"""No metric waits for the device while it counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import scaffold_runtime as scaffold
from scaffold_runtime import Metric

# Operations whose result, or its shape, has to be known before the program can go on.
READS = {
    "_local_scalar_dense", "equal", "is_nonzero", "nonzero", "masked_select", "bincount",
    "_unique2", "unique_consecutive", "unique_dim", "repeat_interleave", "_to_copy", "allclose",
}  # fmt: skip


class Watch(TorchDispatchMode):
    """Count the operations that read a tensor; of copies, those to another device."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        copies = name == "_to_copy" and (kwargs or {}).get("device") in (None, args[0].device)
        booleans = name == "index" and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        if (name in READS and not copies) or booleans:
            self.reads[name] += 1
        return func(*args, **(kwargs or {}))


GENERATOR = torch.Generator().manual_seed(0)  # Else now and then there is one class alone.
SCORES = torch.rand(8, 6, 2, generator=GENERATOR)
CLASSES = torch.randint(6, (8, 2), generator=GENERATOR)
NUMBERS = torch.rand(8, generator=GENERATOR), torch.randint(2, (8,), generator=GENERATOR)
CASES: list[tuple[Callable[[], Metric], Any]] = [
    (scaffold.Accuracy, (SCORES, CLASSES)),
    (scaffold.Accuracy, (CLASSES, CLASSES)),
    (lambda: scaffold.Accuracy(is_multilabel=True), (SCORES, SCORES)),
    (lambda: scaffold.Accuracy(ignore_index=1), (SCORES, CLASSES)),
    (scaffold.TopKAccuracy, (SCORES, CLASSES)),
    (scaffold.Precision, (SCORES, CLASSES)),
    (lambda: scaffold.Recall(ignore_index=1), (SCORES, CLASSES)),
    (lambda: scaffold.FBeta(1.0), NUMBERS[1:] * 2),
    (lambda: scaffold.Recall(average="samples", is_multilabel=True), (SCORES, SCORES)),
    (lambda: scaffold.ConfusionMatrix(6), (SCORES, CLASSES)),
    (lambda: scaffold.ConfusionMatrix(6, ignore_index=2), (SCORES, CLASSES)),
    (lambda: scaffold.mIoU(scaffold.ConfusionMatrix(6)), (SCORES, CLASSES)),
    (lambda: scaffold.Loss(torch.nn.functional.cross_entropy), (SCORES, CLASSES)),
    (scaffold.Average, SCORES),
    (scaffold.Average, SCORES[0, 0, 0]),
    (scaffold.MeanSquaredError, NUMBERS),
    (scaffold.RootMeanSquaredError, NUMBERS),
    (scaffold.MeanAbsoluteError, NUMBERS),
    (scaffold.R2Score, NUMBERS),
    (scaffold.ROC_AUC, NUMBERS),
    (scaffold.AveragePrecision, NUMBERS),
    (lambda: scaffold.EpochMetric(lambda y_pred, y: y_pred.sum()), (SCORES, CLASSES)),
    (scaffold.Perplexity, (SCORES, CLASSES)),
    (scaffold.BitsPerCharacter, (SCORES.mean(), 8)),
    (scaffold.RunningAverage, SCORES[0, 0, 0]),
]


@pytest.mark.parametrize(("make", "output"), CASES, ids=range(len(CASES)))
def test_no_update_reads_a_tensor(make: Callable[[], Metric], output: Any) -> None:
    """No update asks for a value, or for a shape that depends on values."""
    metric = make()

    with Watch() as watch:
        for _ in range(3):
            metric.update(output)

    assert not watch.reads
    metric.compute()


def test_reads_would_be_seen() -> None:
    """The watch sees each way of reading that this program knows."""
    with Watch() as watch:
        CLASSES.sum().item()
        bool(CLASSES.any())
        CLASSES[CLASSES > 1]
        torch.equal(CLASSES, CLASSES)
        CLASSES.nonzero()
        CLASSES.unique()
        CLASSES.flatten().bincount()

    assert {"_local_scalar_dense", "index", "equal", "nonzero", "_unique2"} <= set(watch.reads)
    assert watch.reads["bincount"] == 1


@pytest.mark.parametrize(("make", "output"), CASES, ids=range(len(CASES)))
def test_no_graph_is_kept(make: Callable[[], Metric], output: Any) -> None:
    """Predictions that require gradients leave nothing of their graph in a metric."""
    metric = make()
    if isinstance(output, tuple):
        output = (output[0].float().requires_grad_() * 1, *output[1:])
    else:
        output = output.clone().requires_grad_() * 1
    metric.update(output)

    held = [value for part in metric.parts() for value in vars(part).values()]
    flat = [item for value in held for item in (value if isinstance(value, list) else [value])]

    assert any(isinstance(item, torch.Tensor) for item in flat)
    assert not any(item.requires_grad for item in flat if isinstance(item, torch.Tensor))


@pytest.mark.parametrize(("make", "output"), CASES, ids=range(len(CASES)))
def test_an_update_needs_no_values_at_all(make: Callable[[], Metric], output: Any) -> None:
    """On the device "meta", whose tensors have shapes alone, every update runs."""
    metric = make()
    bare = torch.utils._pytree.tree_map_only(torch.Tensor, lambda each: each.to("meta"), output)

    for _ in range(2):
        metric.update(bare)
