"""The values of metrics, beside those of scikit-learn or of the formula itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as reference
import torch
from hypothesis import given, settings, strategies
from torch import Tensor

import scaffold_runtime as scaffold
from scaffold_runtime import Metric

EXAMPLES = settings(max_examples=40, deadline=None)
Batches = list[tuple[Tensor, Tensor]]


@strategies.composite
def sizes(draw: strategies.DrawFn) -> tuple[list[int], tuple[int, ...], int, torch.Generator]:
    """Sizes of batches (the last often smaller), trailing dimensions, classes, random numbers."""
    batches = draw(strategies.lists(strategies.integers(1, 7), min_size=1, max_size=4))
    trailing = draw(strategies.sampled_from([(), (1,), (3,), (2, 3), (2, 1, 2)]))
    number = draw(strategies.integers(2, 6))
    return (
        batches,
        trailing,
        number,
        torch.Generator().manual_seed(draw(strategies.integers(0)) % 2**63),
    )


@strategies.composite
def of_classes(draw: strategies.DrawFn) -> tuple[Batches, int]:
    """Scores (N, C, ...) and classes (N, ...); often some class is missing, in one or both."""
    batches, trailing, number, generator = draw(sizes())
    present = draw(strategies.integers(1, number))
    made = []
    for size in batches:
        scores = torch.rand(size, number, *trailing, generator=generator)
        scores[:, draw(strategies.integers(0, number - 1))] -= draw(strategies.sampled_from([0, 9]))
        made.append((scores, torch.randint(present, (size, *trailing), generator=generator)))
    return made, number


@strategies.composite
def of_labels(draw: strategies.DrawFn) -> Batches:
    """Zeros and ones (N, C, ...), predicted and true."""
    batches, trailing, number, generator = draw(sizes())
    shapes = [(size, number, *trailing) for size in batches]
    return [
        (torch.randint(2, shape, generator=generator), torch.randint(2, shape, generator=generator))
        for shape in shapes
    ]


def value(metric: Any, batches: Batches) -> Any:
    for batch in batches:
        metric.update(batch)
    return metric.compute()


def flat_classes(batches: Batches) -> tuple[np.ndarray, np.ndarray]:
    """Predicted and true classes, one after the other."""
    predicted = torch.cat([scores.argmax(1).flatten() for scores, _ in batches])
    return predicted.numpy(), torch.cat([y.flatten() for _, y in batches]).numpy()


def flat_labels(batches: Batches) -> tuple[np.ndarray, np.ndarray]:
    """Predicted and true labels, a row for each sample."""
    predicted, true = (
        torch.cat([batch[i].movedim(1, -1).flatten(0, -2) for batch in batches]) for i in (0, 1)
    )
    return predicted.numpy(), true.numpy()


RATIOS: list[tuple[Callable[..., Metric], Callable[..., Any]]] = [
    (scaffold.Precision, reference.precision_score),
    (scaffold.Recall, reference.recall_score),
    (
        lambda **kwargs: scaffold.FBeta(2.0, **kwargs),
        lambda *args, **kwargs: reference.fbeta_score(*args, beta=2.0, **kwargs),
    ),
]


# --- Classes --------------------------------------------------------------


@EXAMPLES
@given(of_classes())
def test_accuracy_is_the_share_of_right_classes(made: tuple[Batches, int]) -> None:
    """Accuracy is scikit-learn's, over batches of any sizes and trailing dimensions."""
    predicted, true = flat_classes(made[0])

    assert value(scaffold.Accuracy(), made[0]) == pytest.approx(
        reference.accuracy_score(true, predicted), abs=1e-12
    )


@EXAMPLES
@given(of_classes(), strategies.integers(1, 6))
def test_top_k_accuracy(made: tuple[Batches, int], k: int) -> None:
    """TopKAccuracy is scikit-learn's, and needs at least k scores."""
    batches, number = made
    metric = scaffold.TopKAccuracy(k)
    if k > number:
        with pytest.raises(ValueError, match=f"no {k} largest of {number}"):
            value(metric, batches)
        return
    scores = torch.cat([scores.movedim(1, -1).flatten(0, -2) for scores, _ in batches]).numpy()
    hits = np.argsort(-scores, axis=1)[:, :k] == flat_classes(batches)[1][:, None]

    assert value(metric, batches) == pytest.approx(hits.any(1).mean(), abs=1e-12)


@pytest.mark.parametrize("average", [False, None, "macro", "micro", "weighted"])
@pytest.mark.parametrize(("ours", "theirs"), RATIOS, ids=["precision", "recall", "fbeta"])
@EXAMPLES
@given(made=of_classes())
def test_ratios_of_classes(
    ours: Callable[..., Metric], theirs: Any, average: Any, made: tuple[Batches, int]
) -> None:
    """Precision, recall and F are scikit-learn's with zero_division=0, with classes missing."""
    batches, number = made
    predicted, true = flat_classes(batches)
    expected = theirs(
        true, predicted, labels=range(number), average=average or None, zero_division=0
    )

    found = value(ours(average=average), batches)

    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize(("ours", "theirs"), RATIOS, ids=["precision", "recall", "fbeta"])
@EXAMPLES
@given(
    generator=strategies.integers(0, 10**6).map(torch.Generator().manual_seed),
    size=strategies.integers(1, 9),
)
def test_ratios_of_two_classes(
    ours: Callable[..., Metric], theirs: Any, generator: torch.Generator, size: int
) -> None:
    """With equal shapes the value is that of class 1, as scikit-learn's; None gives both."""
    y_pred, y = torch.randint(2, (2, size, 3), generator=generator)
    flat = y.flatten().numpy(), y_pred.flatten().numpy()

    one = value(ours(average=False), [(y_pred.float(), y)])
    both = value(ours(average=None), [(y_pred, y)])

    assert one == pytest.approx(theirs(*flat, zero_division=0), abs=1e-12)
    np.testing.assert_allclose(
        both, theirs(*flat, labels=[0, 1], average=None, zero_division=0), atol=1e-12
    )


@EXAMPLES
@given(of_classes(), strategies.integers(-1, 6))
def test_an_ignored_class_does_not_count(made: tuple[Batches, int], ignored: int) -> None:
    """With ignore_index every metric has the value it has without those targets, or none."""
    batches, number = made
    predicted, true = (flat[flat_classes(batches)[1] != ignored] for flat in flat_classes(batches))
    metrics = [
        scaffold.Accuracy(ignore_index=ignored),
        scaffold.TopKAccuracy(1, ignore_index=ignored),
        scaffold.Precision(average="micro", ignore_index=ignored),
        scaffold.Recall(average="micro", ignore_index=ignored),
        scaffold.cmAccuracy(scaffold.ConfusionMatrix(number, ignore_index=ignored)),
    ]
    for metric in metrics:
        if len(true) == 0:
            with pytest.raises(scaffold.NotComputableError):
                value(metric, batches)
        else:
            assert value(metric, batches) == pytest.approx((predicted == true).mean(), abs=1e-12)


@EXAMPLES
@given(of_classes())
def test_confusion_matrix(made: tuple[Batches, int]) -> None:
    """The matrix and its three normalisations are scikit-learn's."""
    batches, number = made
    predicted, true = flat_classes(batches)
    samples = sum(len(y) for _, y in batches)
    for average, normalize in ((None, None), ("recall", "true"), ("precision", "pred")):
        expected = reference.confusion_matrix(
            true, predicted, labels=range(number), normalize=normalize
        )
        found = value(scaffold.ConfusionMatrix(number, average), batches)
        np.testing.assert_allclose(found, expected, atol=1e-12)
    counts = value(scaffold.ConfusionMatrix(number), batches)
    shares = value(scaffold.ConfusionMatrix(number, "samples"), batches)
    np.testing.assert_allclose(shares * samples, counts, atol=1e-12)


@EXAMPLES
@given(of_classes())
def test_what_follows_from_a_confusion_matrix(made: tuple[Batches, int]) -> None:
    """IoU, Dice, accuracy, precision and recall of a matrix are scikit-learn's."""
    batches, number = made
    predicted, true = flat_classes(batches)
    expect: dict[str, Any] = {"labels": range(number), "average": None, "zero_division": 0}
    jaccard = reference.jaccard_score(true, predicted, **expect)
    expected = {
        scaffold.IoU: jaccard,
        scaffold.mIoU: jaccard.mean(),
        scaffold.DiceCoefficient: reference.f1_score(true, predicted, **expect),
        scaffold.cmAccuracy: reference.accuracy_score(true, predicted),
        scaffold.cmPrecision: reference.precision_score(true, predicted, **expect).mean(),
        scaffold.cmRecall: reference.recall_score(true, predicted, **expect).mean(),
    }
    for make, each in expected.items():
        matrix = scaffold.ConfusionMatrix(number)
        np.testing.assert_allclose(value(make(matrix), batches), each, atol=1e-12)
    without = value(scaffold.IoU(scaffold.ConfusionMatrix(number), ignore_index=0), batches)
    np.testing.assert_allclose(without, jaccard[1:], atol=1e-12)


def test_targets_outside_the_classes_are_in_no_matrix() -> None:
    """Targets below 0 and from C on do not count in a confusion matrix, of any integer type."""
    scores = torch.eye(3)[[0, 1, 2, 0, 1]]
    expected = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 0]])

    for kind, outside in ((torch.int64, -100), (torch.uint8, 255), (torch.int32, 3)):
        y = torch.tensor([0, 1, outside, outside, 3]).to(kind)
        assert value(scaffold.ConfusionMatrix(3), [(scores, y)]).equal(expected)


# --- Several labels -------------------------------------------------------


@pytest.mark.parametrize("average", [False, "macro", "micro", "weighted", "samples"])
@pytest.mark.parametrize(("ours", "theirs"), RATIOS, ids=["precision", "recall", "fbeta"])
@EXAMPLES
@given(batches=of_labels())
def test_ratios_of_labels(
    ours: Callable[..., Metric], theirs: Any, average: Any, batches: Batches
) -> None:
    """Precision, recall and F of several labels are scikit-learn's, averaged in each way."""
    predicted, true = flat_labels(batches)
    expected = theirs(true, predicted, average=average or None, zero_division=0)

    found = value(ours(average=average, is_multilabel=True), batches)

    np.testing.assert_allclose(found, expected, atol=1e-12)


@EXAMPLES
@given(of_labels())
def test_accuracy_of_labels(batches: Batches) -> None:
    """A sample with several labels is right when all of them are."""
    predicted, true = flat_labels(batches)

    assert value(scaffold.Accuracy(is_multilabel=True), batches) == pytest.approx(
        reference.accuracy_score(true, predicted), abs=1e-12
    )


# --- Numbers --------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.uint8])
@EXAMPLES
@given(made=sizes())
def test_errors(made: Any, dtype: torch.dtype) -> None:
    """Errors are scikit-learn's, times the numbers in a sample (as in Ignite)."""
    sizes_, trailing, _, generator = made
    batches = [
        tuple((200 * torch.rand(2, size, *trailing, generator=generator)).to(dtype))
        for size in sizes_
    ]
    y_pred, y = (torch.cat([b[i] for b in batches]).double().flatten().numpy() for i in (0, 1))
    in_sample = y.size / sum(sizes_)
    squared = reference.mean_squared_error(y, y_pred) * in_sample

    assert value(scaffold.MeanSquaredError(), batches) == pytest.approx(squared, rel=1e-6)
    assert value(scaffold.RootMeanSquaredError(), batches) == pytest.approx(squared**0.5, rel=1e-6)
    assert value(scaffold.MeanAbsoluteError(), batches) == pytest.approx(
        reference.mean_absolute_error(y, y_pred) * in_sample, rel=1e-6
    )


@given(sizes(), strategies.sampled_from([0.0, 1e6]))
@EXAMPLES
def test_the_explained_share_of_the_variance_is_that_of_scikit_learn(
    made: Any, offset: float
) -> None:
    """Whatever the batches, and also where the mean is large beside the deviations."""
    sizes_, _, _, generator = made
    batches = [
        tuple(offset + torch.rand(2, size, dtype=torch.float64, generator=generator))
        for size in [2, *sizes_]
    ]
    y_pred, y = (torch.cat([batch[i] for batch in batches]).numpy() for i in (0, 1))

    assert value(scaffold.R2Score(), batches) == pytest.approx(
        reference.r2_score(y, y_pred), rel=1e-6, abs=1e-6
    )


def test_where_targets_are_all_equal_nothing_is_explained() -> None:
    """The share is not a number, so that it is never the best."""
    assert math.isnan(value(scaffold.R2Score(), [(torch.rand(3), torch.ones(3))]))


def test_a_column_fits_a_row_and_nothing_else_does() -> None:
    """Predictions (N, 1) are compared with targets (N,) one by one; other shapes are refused."""
    column, row = torch.tensor([[1.0], [2.0]]), torch.tensor([1.0, 4.0])

    assert value(scaffold.MeanSquaredError(), [(column, row)]) == 2.0
    assert value(scaffold.MeanSquaredError(), [(row, column)]) == 2.0
    for y in (
        torch.zeros(1),
        torch.zeros(3),
        torch.zeros(2, 2),
        torch.zeros(()),
        torch.zeros(1, 2),
    ):
        with pytest.raises(ValueError, match="do not fit"):
            scaffold.MeanSquaredError().update((column, y))


def test_average() -> None:
    """A number or a vector is one sample, the rows of a matrix are as many as there are."""
    assert value(scaffold.Average(), [1, 2.5, 4]) == 2.5  # type: ignore[list-item]
    assert value(scaffold.Average(), [torch.tensor(1.0), 4.0]) == 2.5  # type: ignore[list-item]
    vectors: Any = [torch.tensor([1.0, 2.0]), torch.tensor([3.0, 6.0])]
    assert value(scaffold.Average(), vectors).tolist() == [2.0, 4.0]
    rows: Any = [torch.tensor([[1, 2], [3, 4]]), torch.tensor([[8, 9]])]
    assert value(scaffold.Average(), rows).tolist() == [4.0, 5.0]
    with pytest.raises(ValueError, match="shape"):
        value(scaffold.Average(), [torch.zeros(2), torch.zeros(3)])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="str"):
        scaffold.Average().update("1")  # type: ignore[arg-type]


def test_loss_weights_batches_by_their_size() -> None:
    """The mean loss over unequal batches is that of all samples, also beyond 2**24 of them."""
    batches = [
        (torch.tensor([6.0]), torch.zeros(1)),
        (torch.tensor([0.0, 2.0, 4.0]), torch.zeros(3)),
    ]
    loss = scaffold.Loss(torch.nn.functional.l1_loss)

    assert value(loss, batches) == 3.0
    loss.reset()
    many = [(torch.ones(1).expand(size), torch.zeros(1).expand(size)) for size in (2**24, 1, 1)]
    assert value(loss, many) == 1.0


# --- Ranking --------------------------------------------------------------


@strategies.composite
def of_scores(draw: strategies.DrawFn) -> tuple[Tensor, Tensor]:
    """Scores with many ties and targets, (N,), (N, 1) or (N, L), of both classes in each label."""
    size = draw(strategies.integers(2, 30))
    shape = draw(strategies.sampled_from([(size,), (size, 1), (size, 3)]))
    generator = torch.Generator().manual_seed(draw(strategies.integers(0, 10**6)))
    levels = draw(strategies.sampled_from([1, 3, 10, 10**6]))
    scores = torch.randint(levels, shape, generator=generator) / levels
    y = torch.randint(2, shape, generator=generator)
    y[0], y[1] = 0, 1
    return scores, y


@EXAMPLES
@given(of_scores(), strategies.integers(1, 30))
def test_ranking(made: tuple[Tensor, Tensor], size: int) -> None:
    """ROC area and average precision are scikit-learn's, with ties and several labels."""
    scores, y = made
    batches = list(zip(scores.split(size), y.split(size), strict=True))

    assert value(scaffold.ROC_AUC(), batches) == pytest.approx(
        reference.roc_auc_score(y.numpy(), scores.numpy()), abs=1e-12
    )
    assert value(scaffold.AveragePrecision(), batches) == pytest.approx(
        reference.average_precision_score(y.numpy(), scores.numpy()), abs=1e-12
    )


def test_ranking_refuses_what_has_no_value() -> None:
    """Targets that are all alike have no ROC curve, a NaN has no rank; neither becomes a NaN."""
    scores = torch.tensor([0.1, 0.2])

    for y in (torch.zeros(2), torch.ones(2)):
        with pytest.raises(scaffold.NotComputableError, match="alike"):
            value(scaffold.ROC_AUC(), [(scores, y)])
    assert value(scaffold.AveragePrecision(), [(scores, torch.zeros(2))]) == 0.0
    for metric in (scaffold.ROC_AUC(), scaffold.AveragePrecision()):
        with pytest.raises(ValueError, match="1 scores are NaN"):
            value(metric, [(torch.tensor([0.1, torch.nan]), torch.tensor([0, 1]))])


def test_epoch_metric_hands_over_everything_in_order() -> None:
    """The function gets all batches joined, untouched by what later happens to their memory."""
    memory = torch.zeros(2)
    metric = scaffold.EpochMetric(lambda y_pred, y: (y_pred.tolist(), y.tolist()))

    for step in (1.0, 2.0):
        metric.update((memory.fill_(step), memory))

    assert metric.compute() == ([1.0, 1.0, 2.0, 2.0],) * 2


# --- Language -------------------------------------------------------------


@EXAMPLES
@given(of_classes(), strategies.integers(-1, 2))
def test_perplexity_is_that_of_all_tokens(made: tuple[Batches, int], ignored: int) -> None:
    """Perplexity and bits follow from the mean loss over all tokens that are not ignored."""
    batches = [(scores.double(), y) for scores, y in made[0]]
    losses = [
        torch.nn.functional.cross_entropy(scores, y, ignore_index=ignored, reduction="none")[
            y != ignored
        ]
        for scores, y in batches
    ]
    nll = torch.cat(losses)
    perplexity = scaffold.Perplexity(ignore_index=ignored)
    bits = scaffold.BitsPerCharacter(ignore_index=ignored)
    if len(nll) == 0:
        with pytest.raises(scaffold.NotComputableError):
            value(perplexity, batches)
        return

    assert value(perplexity, batches) == pytest.approx(float(nll.mean().exp()), rel=1e-12)
    assert value(bits, batches) == pytest.approx(float(nll.mean()) / np.log(2), rel=1e-12)


def test_perplexity_of_mean_losses() -> None:
    """Mean losses are weighted by their numbers of tokens, exactly."""
    losses: Any = [(0.1, 3), (torch.tensor(0.5, dtype=torch.float64), 1)]

    assert value(scaffold.BitsPerCharacter(), losses) == pytest.approx(0.2 / np.log(2), rel=1e-15)


# --- Counts and nothing ---------------------------------------------------


def test_counts_beyond_single_precision_stay_exact() -> None:
    """One more after 2**24 counts as one more, in every sum."""
    many = 2**24
    zeros, ones = torch.zeros(many, dtype=torch.uint8), torch.ones(many, dtype=torch.uint8)
    batches = [(ones, ones), (ones[:1], ones[:1]), (ones[:1], zeros[:1])]

    assert value(scaffold.Accuracy(), batches) == (many + 1) / (many + 2)
    assert value(scaffold.Precision(), batches) == (many + 1) / (many + 2)
    assert value(
        scaffold.MeanAbsoluteError(), [(ones, zeros), (ones[:1], zeros[:1]), (zeros[:1], zeros[:1])]
    ) == (many + 1) / (many + 2)
    floats = torch.ones(many + 1), torch.zeros(many + 1)
    assert value(scaffold.MeanSquaredError(), [floats]) == 1.0
    singles: Any = [torch.tensor(float(many)), torch.tensor(1.0), torch.tensor(1.0)]
    assert value(scaffold.Average(), singles) == (many + 2) / 3
    scores = torch.zeros(1, 2).expand(many, 2)
    matrix = scaffold.ConfusionMatrix(2)
    value(matrix, [(scores, zeros), (scores[:1], zeros[:1])])
    assert matrix.compute()[0, 0] == many + 1


EMPTY = (torch.zeros(0, 3), torch.zeros(0, dtype=torch.long))


@pytest.mark.parametrize(
    "metric",
    [
        scaffold.Accuracy(),
        scaffold.TopKAccuracy(2),
        scaffold.Precision(average="macro"),
        scaffold.Recall(average="weighted"),
        scaffold.FBeta(1.0),
        scaffold.ConfusionMatrix(3),
        scaffold.mIoU(scaffold.ConfusionMatrix(3)),
        scaffold.Perplexity(),
        scaffold.BitsPerCharacter(),
        scaffold.EpochMetric(lambda y_pred, y: 0.0),
        scaffold.Loss(lambda y_pred, y: torch.nn.functional.cross_entropy(y_pred, y)),
    ],
    ids=lambda metric: type(metric).__name__,
)
def test_nothing_has_no_value(metric: Metric) -> None:
    """Without a sample, and after a batch of none, the value is an error that names the metric."""
    with pytest.raises(scaffold.NotComputableError, match="has no value"):
        metric.compute()

    metric.update(EMPTY)

    with pytest.raises(scaffold.NotComputableError, match="has no value"):
        metric.compute()


@pytest.mark.parametrize(
    "metric",
    [
        scaffold.MeanSquaredError(),
        scaffold.MeanAbsoluteError(),
        scaffold.R2Score(),
        scaffold.ROC_AUC(),
        scaffold.AveragePrecision(),
    ],
    ids=lambda metric: type(metric).__name__,
)
def test_no_numbers_have_no_value(metric: Metric) -> None:
    """A batch of no numbers gives no mean and no rank."""
    metric.update((torch.zeros(0), torch.zeros(0)))

    with pytest.raises(scaffold.NotComputableError, match="has no value"):
        metric.compute()


@pytest.mark.parametrize(
    "make",
    [
        lambda: scaffold.Precision(average="makro"),
        lambda: scaffold.Precision(average="samples"),
        lambda: scaffold.Accuracy(is_multilabel=True, ignore_index=0),
        lambda: scaffold.FBeta(0.0),
        lambda: scaffold.ConfusionMatrix(1),
        lambda: scaffold.ConfusionMatrix(2, average="macro"),
        lambda: scaffold.IoU(scaffold.ConfusionMatrix(2, average="recall")),
        lambda: scaffold.IoU(scaffold.ConfusionMatrix(2), ignore_index=2),
    ],
)
def test_arguments_that_mean_nothing_are_refused(make: Callable[[], Metric]) -> None:
    """A metric with arguments that exclude each other or do not exist is never made."""
    with pytest.raises(ValueError, match=r".{20,}"):
        make()


@pytest.mark.parametrize(
    "metric",
    [scaffold.Accuracy(), scaffold.TopKAccuracy(1), scaffold.Recall(), scaffold.ConfusionMatrix(3)],
    ids=lambda metric: type(metric).__name__,
)
def test_shapes_that_do_not_fit_are_refused(metric: Metric) -> None:
    """Scores and classes of different samples are an error that shows both shapes."""
    with pytest.raises(ValueError, match=r"\(4, 3, 2\) do not fit targets of \(4, 3\)"):
        metric.update((torch.zeros(4, 3, 2), torch.zeros(4, 3, dtype=torch.long)))
