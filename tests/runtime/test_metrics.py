"""Metrics: their values, when they are taken, and that taking up an output waits for nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from scaffold_runtime import (
    Accuracy,
    BatchWise,
    Engine,
    EpochWise,
    Events,
    Loss,
    Metric,
    NotComputableError,
    RunningAverage,
    RunningBatchWise,
    RunningEpochWise,
    SingleEpochRunningBatchWise,
    TerminateOnNan,
)

# Sizes of the batches, the trailing dimensions, and what the numbers in them depend on.
SIZES = st.lists(st.integers(1, 5), min_size=1, max_size=4)
TRAILING = st.lists(st.integers(1, 3), max_size=2)
SEEDS = st.integers(0, 2**32)
GENERATED = settings(max_examples=60, deadline=None)

# --- Values ---------------------------------------------------------------


@GENERATED
@given(sizes=SIZES, trailing=TRAILING, classes=st.integers(2, 5), seed=SEEDS)
def test_accuracy_of_classes_is_scikit_learns(
    sizes: list[int], trailing: list[int], classes: int, seed: int
) -> None:
    """Scores (N, C, ...) and indices (N, ...), over batches of different sizes."""
    random = torch.Generator().manual_seed(seed)
    accuracy, predicted, actual = Accuracy(), [], []
    for size in sizes:
        scores = torch.randn(size, classes, *trailing, generator=random)
        labels = torch.randint(classes, (size, *trailing), generator=random)
        accuracy.update((scores, labels))
        predicted.append(scores.argmax(1).flatten())
        actual.append(labels.flatten())

    expected = accuracy_score(torch.cat(actual).numpy(), torch.cat(predicted).numpy())
    assert accuracy.compute() == pytest.approx(expected)


@GENERATED
@given(sizes=SIZES, trailing=TRAILING, seed=SEEDS, column=st.booleans())
def test_accuracy_of_yes_and_no_is_scikit_learns(
    sizes: list[int], trailing: list[int], seed: int, column: bool
) -> None:
    """Zeros and ones of equal shape, or predictions with one column more."""
    random = torch.Generator().manual_seed(seed)
    accuracy, predicted, actual = Accuracy(), [], []
    for size in sizes:
        y_pred, y = torch.randint(2, (2, size, *trailing), generator=random)
        accuracy.update((y_pred.unsqueeze(1).float() if column else y_pred, y))
        predicted.append(y_pred.flatten())
        actual.append(y.flatten())

    expected = accuracy_score(torch.cat(actual).numpy(), torch.cat(predicted).numpy())
    assert accuracy.compute() == pytest.approx(expected)


@GENERATED
@given(sizes=SIZES, trailing=TRAILING, labels=st.integers(1, 4), seed=SEEDS)
def test_accuracy_of_several_labels_is_scikit_learns(
    sizes: list[int], trailing: list[int], labels: int, seed: int
) -> None:
    """A sample, or a place in it, is right when all its labels are."""
    random = torch.Generator().manual_seed(seed)
    accuracy, predicted, actual = Accuracy(is_multilabel=True), [], []
    for size in sizes:
        y_pred, y = torch.randint(2, (2, size, labels, *trailing), generator=random)
        accuracy.update((y_pred, y))
        predicted.append(y_pred.movedim(1, -1).reshape(-1, labels))
        actual.append(y.movedim(1, -1).reshape(-1, labels))

    right = (torch.cat(predicted) == torch.cat(actual)).all(dim=1)
    assert accuracy.compute() == pytest.approx(right.numpy().mean())


@pytest.mark.parametrize(
    ("y_pred", "y", "is_multilabel"),
    [((4, 3), (5,), False), ((4, 3), (4, 2), False), ((4,), (4,), True), ((4, 3), (4,), True)],
)
def test_accuracy_refuses_shapes_that_do_not_fit(
    y_pred: tuple[int, ...], y: tuple[int, ...], is_multilabel: bool
) -> None:
    """The error names the shapes."""
    with pytest.raises(ValueError, match="shape"):
        Accuracy(is_multilabel=is_multilabel).update((torch.zeros(y_pred), torch.zeros(y).long()))


@GENERATED
@given(sizes=SIZES, seed=SEEDS)
def test_the_loss_is_the_mean_over_all_samples(sizes: list[int], seed: int) -> None:
    """A smaller last batch counts by its size."""
    random = torch.Generator().manual_seed(seed)
    loss, predictions, targets = Loss(F.cross_entropy), [], []
    for size in sizes:
        predictions.append(torch.randn(size, 3, generator=random))
        targets.append(torch.randint(3, (size,), generator=random))
        loss.update((predictions[-1], targets[-1]))

    expected = F.cross_entropy(torch.cat(predictions), torch.cat(targets)).item()
    assert loss.compute() == pytest.approx(expected, rel=1e-5)


def test_the_loss_function_can_have_arguments_and_batches_another_size() -> None:
    """The third of the output are keyword arguments; batch_size says how many samples there are."""
    loss = Loss(F.mse_loss, batch_size=lambda y: y.numel())
    for values in ([1.0], [3.0, 5.0, 5.0]):
        loss.update((torch.zeros(len(values)), torch.tensor(values), {"reduction": "mean"}))

    assert loss.compute() == pytest.approx((1 + 9 + 25 + 25) / 4)


def test_the_loss_must_be_one_number() -> None:
    """A loss for each sample is refused."""
    with pytest.raises(ValueError, match=r"must be one number, not of shape \(2,\)"):
        Loss(lambda y_pred, y: y_pred).update((torch.zeros(2), torch.zeros(2)))


@GENERATED
@given(
    values=st.lists(st.floats(-10, 10), min_size=1, max_size=20),
    alpha=st.floats(0.01, 1.0),
    tensors=st.booleans(),
)
def test_the_running_average_follows_its_formula(
    values: list[float], alpha: float, tensors: bool
) -> None:
    """average = alpha * average + (1 - alpha) * value, of numbers and of tensors."""
    average, expected = RunningAverage(alpha=alpha), values[0]
    for value in values:
        average.update(torch.tensor(value, dtype=torch.float64) if tensors else value)
    for value in values[1:]:
        expected = alpha * expected + (1 - alpha) * value

    assert float(average.compute()) == pytest.approx(expected, abs=1e-9)


def test_the_running_average_of_counts_is_no_count() -> None:
    """Whole numbers in tensors are averaged like others."""
    average = RunningAverage(alpha=0.5)
    for value in (1, 2):
        average.update(torch.tensor(value))

    assert float(average.compute()) == 1.5


def test_the_running_average_keeps_a_value_that_is_overwritten() -> None:
    """A step may write each output into the same tensor."""
    average, output = RunningAverage(alpha=0.5), torch.tensor(4.0)
    average.update(output)
    output.fill_(2.0)
    average.update(output)

    assert float(average.compute()) == 3.0


def test_the_running_average_of_a_metric_is_of_its_value_for_each_batch() -> None:
    """The source metric begins anew in every iteration."""
    engine = Engine(lambda engine, batch: (torch.tensor(batch), torch.ones(len(batch)).long()))
    RunningAverage(Accuracy(), alpha=0.5).attach(engine, "accuracy")

    assert engine.run([[1, 1], [1, 0], [0, 0]]).metrics == {"accuracy": 0.375}


@pytest.mark.parametrize("alpha", [0.0, -1.0, 1.5])
def test_the_running_average_needs_a_share(alpha: float) -> None:
    """A number that is none is refused."""
    with pytest.raises(ValueError, match="alpha must be between 0 and 1"):
        RunningAverage(alpha=alpha)


@pytest.mark.parametrize("metric", [Accuracy(), Loss(F.mse_loss), RunningAverage()])
def test_a_metric_that_saw_nothing_has_no_value(metric: Metric) -> None:
    """Asking for it is an error, not NaN, also after a reset."""
    with pytest.raises(NotComputableError, match="it has seen no"):
        metric.compute()
    metric.update(torch.ones(()) if isinstance(metric, RunningAverage) else (torch.ones(1),) * 2)
    metric.reset()
    with pytest.raises(NotComputableError):
        metric.compute()


# --- Attached -------------------------------------------------------------


class Seen(Metric):
    """The outputs since the last reset."""

    def reset(self) -> None:
        self.seen: list[Any] = []

    def update(self, output: Any) -> None:
        self.seen.append(output)

    def compute(self) -> tuple[Any, ...]:
        return tuple(self.seen)


@pytest.mark.parametrize(
    ("usage", "values"),
    [
        (EpochWise(), {2: (1, 2), 4: (1, 2)}),
        (RunningEpochWise(), {2: (1, 2), 4: (1, 2, 1, 2)}),
        (BatchWise(), {1: (1,), 2: (2,), 3: (1,), 4: (2,)}),
        (RunningBatchWise(), {1: (1,), 2: (1, 2), 3: (1, 2, 1), 4: (1, 2, 1, 2)}),
        (SingleEpochRunningBatchWise(), {1: (1,), 2: (1, 2), 3: (1,), 4: (1, 2)}),
    ],
)
def test_the_usage_says_when_a_value_is_taken_and_of_what(
    usage: Any, values: dict[int, tuple[int, ...]]
) -> None:
    """Two epochs of the batches 1 and 2: the new values by iteration."""
    engine, taken = Engine(lambda engine, batch: batch), {}
    Seen().attach(engine, "seen", usage)

    @engine.on(Events.ITERATION_COMPLETED | Events.EPOCH_COMPLETED)
    def note(engine: Engine) -> None:
        if engine.state.metrics:
            taken[engine.state.iteration] = engine.state.metrics.pop("seen")

    engine.run([1, 2], max_epochs=2)

    assert taken == values


def test_the_output_transform_picks_what_is_measured() -> None:
    """Of a mapping the keys that the metric needs are taken."""
    engine = Engine(lambda engine, batch: {"loss": 3, "y_pred": batch, "y": batch})
    Accuracy().attach(engine, "by keys")
    Seen(lambda output: output["loss"]).attach(engine, "picked")
    metrics = engine.run([torch.tensor([1, 0])]).metrics

    assert metrics == {"by keys": 1.0, "picked": (3,)}


def test_a_value_with_several_entries_shows_each() -> None:
    """A mapping appears whole, and each entry under its own name."""

    class Two(Seen):
        def compute(self) -> dict[str, int]:  # type: ignore[override]
            return {"first": self.seen[0], "last": self.seen[-1]}

    engine = Engine(lambda engine, batch: batch)
    Two().attach(engine, "two")

    assert engine.run([5, 6]).metrics == {"two": {"first": 5, "last": 6}, "first": 5, "last": 6}


def test_a_detached_metric_is_no_longer_taken() -> None:
    """Detaching what is not attached does nothing."""
    engine, metric = Engine(lambda engine, batch: batch), Seen()
    metric.attach(engine, "seen")
    assert metric.is_attached(engine)
    metric.detach(engine)
    metric.detach(engine)

    assert not metric.is_attached(engine)
    assert engine.run([1]).metrics == {}


# --- Waiting for the device -----------------------------------------------


def test_nothing_reads_a_tensor_while_outputs_are_taken_up() -> None:
    """In 100 iterations with everything attached, values are read for the announced looks of
    TerminateOnNan and for the two epochs' values, and nowhere else."""
    engine = Engine(lambda engine, batch: batch)
    pair = {"output_transform": lambda output: output[:2]}
    Loss(F.cross_entropy, **pair).attach(engine, "loss")
    Accuracy(**pair).attach(engine, "accuracy")
    RunningAverage(output_transform=lambda output: output[2]).attach(engine, "smooth")
    engine.add_event_handler(
        Events.ITERATION_COMPLETED, TerminateOnNan(lambda output: output[2], check_every=20)
    )
    batch = (torch.randn(4, 3), torch.tensor([0, 1, 2, 0]), torch.tensor(0.5))
    reads: dict[int, int] = {}
    with CountingReads() as counting:

        @engine.on(Events.ITERATION_COMPLETED)
        def after_the_metrics(engine: Engine) -> None:
            reads[engine.state.iteration] = counting.take()

        engine.run([batch] * 50, max_epochs=2)
        rest = counting.take()

    looks = {iteration for iteration, count in reads.items() if count}
    # The values of epoch 1 are computed after the note of iteration 50.
    assert looks == {20, 40, 50, 51, 60, 80, 100}
    assert rest == reads[51] == 2
    assert all(reads[iteration] == 1 for iteration in looks - {51})


def test_the_count_of_reads_sees_a_read() -> None:
    """The instrument of the test above finds each way to read a value."""
    value = torch.tensor(1.0)
    with CountingReads() as counting:
        value.item()
        float(value)
        bool(value > 0)
        torch.equal(value, value)

    assert counting.take() == 4


def test_sums_do_not_lose_small_parts() -> None:
    """A loss is summed in double precision: a million small parts of a large sum are kept."""
    loss = Loss(lambda y_pred, y: y_pred.mean(), batch_size=lambda y: 1)
    loss.update((torch.tensor([2.0**24]), torch.zeros(1)))
    for _ in range(64):
        loss.update((torch.tensor([0.25]), torch.zeros(1)))

    assert loss.compute() * 65 == 2.0**24 + 16


def test_metrics_keep_no_graph() -> None:
    """An output with gradients is not held on to."""
    weight = torch.ones(3, requires_grad=True)
    average = RunningAverage()
    average.update((weight * 2).sum())
    loss = Loss(F.mse_loss)
    loss.update((weight * 2, torch.zeros(3)))

    assert not average.compute().requires_grad
    assert isinstance(loss.compute(), float)
    assert not any(isinstance(v, Tensor) and v.requires_grad for v in vars(loss).values())


# --- Helpers --------------------------------------------------------------


class CountingReads(TorchDispatchMode):
    """Counts the operations that give Python a tensor's value, and so wait for its device."""

    READS = ("_local_scalar_dense", "equal", "is_nonzero")

    def __init__(self) -> None:
        super().__init__()
        self._count = 0

    def take(self) -> int:
        """Return the count since the last call."""
        count, self._count = self._count, 0
        return count

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._count += func._schema.name.removeprefix("aten::") in self.READS
        return func(*args, **(kwargs or {}))
