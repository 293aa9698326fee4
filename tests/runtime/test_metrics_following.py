"""Metrics attached to engines: when they count, what they are made of, and what is saved."""

from __future__ import annotations

import copy
import gc
import io
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchmetrics
from torchmetrics.classification import BinaryAUROC, MulticlassAccuracy

import scaffold_runtime as scaffold
from scaffold_runtime import Average, Engine, Events, Metric, attach_metric

GENERATOR = torch.Generator().manual_seed(0)
BATCHES = [
    (torch.rand(5, 3, generator=GENERATOR), torch.randint(3, (5,), generator=GENERATOR))
    for _ in range(6)
]


def echo() -> Engine:
    """An engine whose output is its batch."""
    return Engine(lambda engine, batch: batch)


class Counting(Metric):
    """Count the calls of reset and update, and the sum of outputs."""

    resets = updates = 0

    def reset(self) -> None:
        self.resets += 1
        self.total = 0.0

    def update(self, output: float) -> None:
        self.updates += 1
        self.total += output

    def compute(self) -> float:
        return self.total


# --- Usages ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("usage", "at_iterations", "at_epochs"),
    [
        (scaffold.EpochWise(), [None, None, 3, 3], [3, 7]),
        (scaffold.RunningEpochWise(), [None, None, 3, 3], [3, 10]),
        (scaffold.BatchWise(), [1, 2, 3, 4], [2, 4]),
        (scaffold.RunningBatchWise(), [1, 3, 6, 10], [3, 10]),
        (scaffold.SingleEpochRunningBatchWise(), [1, 3, 3, 7], [3, 7]),
        (scaffold.BatchFiltered(every=2), [None, None, 2, 2], [2, 4]),
        ("epoch_wise", [None, None, 3, 3], [3, 7]),
        ("running_epoch_wise", [None, None, 3, 3], [3, 10]),
        ("batch_wise", [1, 2, 3, 4], [2, 4]),
        ("running_batch_wise", [1, 3, 6, 10], [3, 10]),
        ("single_epoch_running_batch_wise", [1, 3, 3, 7], [3, 7]),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_usage_says_when_a_metric_counts(
    usage: Any, at_iterations: list[Any], at_epochs: list[Any]
) -> None:
    """Each usage, by object or by name, resets, updates and shows at its events."""
    engine = Engine(lambda engine, batch: engine.state.iteration)  # 1 and 2, then 3 and 4.
    metric = Counting()
    metric.attach(engine, "sum", usage)
    seen: dict[Events, list[Any]] = {Events.ITERATION_COMPLETED: [], Events.EPOCH_COMPLETED: []}
    for event, shown in seen.items():
        engine.add_event_handler(
            event, lambda shown: shown.append(engine.state.metrics.get("sum")), shown
        )

    engine.run([0, 0], max_epochs=2)

    assert list(seen.values()) == [at_iterations, at_epochs]
    assert metric.is_attached(engine, usage)
    metric.detach(engine, usage)
    assert not metric.is_attached(engine, usage)


def test_a_usage_that_does_not_exist_is_refused() -> None:
    """A misspelled usage is an error with the nearest name."""
    with pytest.raises(ValueError, match="no usage 'epochwise'; did you mean 'epoch_wise'"):
        Average().attach(echo(), "mean", "epochwise")


def test_the_mapping_of_a_step_is_reduced_to_what_the_metric_takes() -> None:
    """Outputs may be mappings with y_pred and y, after the output_transform."""
    engine = Engine(lambda engine, batch: {"y": batch[1], "loss": 0, "y_pred": batch[0]})
    scaffold.Accuracy().attach(engine, "accuracy")
    Average(output_transform=lambda output: output["loss"]).attach(engine, "loss")

    metrics = engine.run([(torch.eye(2), torch.tensor([0, 0]))]).metrics

    assert metrics == {"accuracy": 0.5, "loss": 0.0}


# --- Arithmetic -----------------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        (lambda a, b: a + b, 8),
        (lambda a, b: a - b, 4),
        (lambda a, b: a * b, 12),
        (lambda a, b: a / b, 3),
        (lambda a, b: a // 4, 1),
        (lambda a, b: a**b, 36),
        (lambda a, b: a % 4, 2),
        (lambda a, b: 1 + a, 7),
        (lambda a, b: 1 - a, -5),
        (lambda a, b: 2 * a, 12),
        (lambda a, b: 3 / a, 0.5),
        (lambda a, b: 13 // a, 2),
        (lambda a, b: 2**b, 4),
        (lambda a, b: 5 % b, 1),
        (lambda a, b: -a, -6),
        (lambda a, b: abs(-a), 6),
        (lambda a, b: a + torch.tensor(1.0), 7),
        (lambda a, b: torch.tensor(1.0) + a, 7),
        (lambda a, b: torch.tensor(1.0) - a, -5),
        (lambda a, b: torch.tensor(3.0) / a, 0.5),
        (lambda a, b: 2 * a * b / (a + b), 3),
        (lambda a, b: scaffold.MetricsLambda(max, a, b), 6),
        (lambda a, b: scaffold.MetricsLambda(lambda x, more: x + more, a, more=b), 8),
    ],
)
def test_arithmetic(formula: Callable[[Any, Any], Any], expected: float) -> None:
    """Numbers, tensors and metrics combine with operators, each metric updated once."""
    engine = echo()
    a, b = Counting(), Counting(output_transform=lambda output: output / 3)
    formula(a, b).attach(engine, "result")

    result = engine.run([1.0, 2.0, 3.0]).metrics["result"]

    assert float(result) == pytest.approx(expected)
    assert a.updates in (0, 3)
    assert b.updates in (0, 3)
    assert a.updates + b.updates >= 3


def test_indexing_and_methods_of_tensors() -> None:
    """A metric with a tensor for a value has its entries, its mean and the like as metrics."""
    vector = Average()
    first, mean, top = vector[0], vector.mean(), vector.max().item()
    low = vector.sum() - vector.min()
    vector.update(torch.tensor([1.0, 2.0, 6.0]))

    assert [float(m.compute()) for m in (first, mean, top, low)] == [1.0, 3.0, 6.0, 8.0]
    with pytest.raises(TypeError, match="not iterable"):
        list(vector)  # type: ignore[call-overload]


def test_a_metric_is_updated_once_however_often_it_is_used() -> None:
    """Shown by itself and in three formulas, attached in any order, it counts each output once."""
    engine = echo()
    metric = Counting()
    (metric + metric).attach(engine, "twice")
    metric.attach(engine, "once")
    (metric * 3).attach(engine, "thrice")
    metric.attach(engine, "again")

    metrics = engine.run([1.0, 2.0], max_epochs=2).metrics

    assert metrics == {"twice": 6.0, "once": 3.0, "thrice": 9.0, "again": 3.0}
    assert (metric.updates, metric.resets) == (4, 3)


def test_detaching_leaves_alone_what_others_need() -> None:
    """A metric goes on counting until the last that is made of it is detached."""
    engine = echo()
    metric = Counting()
    double, triple = 2 * metric, 3 * metric
    for name, each in (("metric", metric), ("double", double), ("triple", triple)):
        each.attach(engine, name)

    assert all(each.is_attached(engine) for each in (metric, double, triple))
    metric.detach(engine)
    double.detach(engine)
    assert not metric.is_attached(engine)
    assert triple.is_attached(engine)
    assert engine.run([1.0, 2.0]).metrics == {"triple": 9.0}

    triple.detach(engine)
    triple.detach(engine)
    engine.state.metrics.clear()
    updates = metric.updates
    assert engine.run([1.0], max_epochs=2).metrics == {}
    assert metric.updates == updates


def test_a_formula_alone_counts_once_and_is_counted_by_running_average() -> None:
    """Without an engine, and as the source of a running average, a formula is a metric."""
    metric = Counting()
    formula = metric * metric + 1
    formula.update(2.0)
    assert formula.compute() == 5.0

    engine = echo()
    scaffold.RunningAverage(formula, alpha=0.5).attach(engine, "smooth")
    assert engine.run([1.0, 3.0]).metrics["smooth"] == 0.5 * 2 + 0.5 * 10


def test_making_a_formula_forgets_nothing() -> None:
    """What a metric has counted is still there when a formula is made of it."""
    metric = Counting()
    metric.update(2.0)

    assert (metric + 1).compute() == 3.0


def test_formulas_are_freed_and_copied() -> None:
    """A metric keeps no formula alive, and a copy of a formula counts for itself."""
    metric = Average()
    formula = metric + 1
    other = copy.deepcopy(formula)
    other.update(5.0)
    metric.update(1.0)
    assert (formula.compute(), other.compute()) == (2.0, 6.0)

    gone = weakref.ref(formula)
    del formula
    assert gone() is None
    gc.collect()


# --- State ----------------------------------------------------------------


def through_a_file(state: Any) -> Any:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def transform_to_numbers(output: Any) -> Any:
    return output[0][:, 0], (output[1] == 0).float()


METRICS: list[Callable[[], Metric]] = [
    scaffold.Accuracy,
    lambda: scaffold.Accuracy(ignore_index=0),
    lambda: scaffold.TopKAccuracy(2),
    lambda: scaffold.Precision(average=None),
    lambda: scaffold.FBeta(1.0),
    lambda: scaffold.Recall(
        average="samples",
        is_multilabel=True,
        output_transform=lambda o: (o[0].round(), torch.nn.functional.one_hot(o[1], 3)),
    ),
    lambda: scaffold.ConfusionMatrix(3),
    lambda: scaffold.mIoU(scaffold.ConfusionMatrix(3)),
    lambda: scaffold.Loss(torch.nn.functional.cross_entropy),
    lambda: Average(lambda output: output[0]),
    lambda: scaffold.MeanSquaredError(transform_to_numbers),
    lambda: scaffold.RootMeanSquaredError(transform_to_numbers),
    lambda: scaffold.MeanAbsoluteError(transform_to_numbers),
    lambda: scaffold.R2Score(transform_to_numbers),
    lambda: scaffold.ROC_AUC(transform_to_numbers),
    lambda: scaffold.AveragePrecision(transform_to_numbers),
    lambda: scaffold.EpochMetric(lambda y_pred, y: y_pred.sum() + y.sum()),
    scaffold.Perplexity,
    scaffold.BitsPerCharacter,
    lambda: scaffold.RunningAverage(output_transform=lambda output: output[0].sum()),
    lambda: scaffold.RunningAverage(scaffold.Accuracy()),
    lambda: 2 * scaffold.Precision() / (scaffold.Recall() + 1),
]


@pytest.mark.parametrize("make", METRICS, ids=range(len(METRICS)))
@pytest.mark.parametrize("cut_at", [2, 5, 6, 8])
def test_a_metric_loaded_in_the_middle_goes_on_counting(
    make: Callable[[], Metric], cut_at: int
) -> None:
    """A run of 3 epochs of 3 that is cut, saved and resumed has every value of the unbroken run."""

    def run(states: Any = None, stop: int | None = None) -> tuple[Engine, list[Any], Metric]:
        engine, metric, shown = echo(), make(), []
        metric.attach(engine, "value")
        engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: shown.append(metric.compute()))
        if stop:
            engine.add_event_handler(Events.ITERATION_COMPLETED(once=stop), engine.terminate)
        if states:
            engine.load_state_dict(states["engine"])
            metric.load_state_dict(states["metric"])
        engine.run(BATCHES, max_epochs=3, epoch_length=3)
        return engine, shown, metric

    unbroken = run()[1]
    engine, before, metric = run(stop=cut_at)
    saved = through_a_file({"engine": engine.state_dict(), "metric": metric.state_dict()})
    after = run(saved)[1]

    torch.testing.assert_close(before + after, unbroken, rtol=0, atol=0)


@pytest.mark.parametrize("usage", ["running_epoch_wise", "running_batch_wise"])
def test_running_usages_go_on_over_a_cut_between_epochs(usage: str) -> None:
    """What counts since the run began goes on when the run does, also from an epoch's end."""
    engine, metric = echo(), Average()
    metric.attach(engine, "mean", usage)
    engine.run([1.0, 2.0], max_epochs=1)
    resumed, again = echo(), Average()
    again.attach(resumed, "mean", usage)
    resumed.load_state_dict(engine.state_dict())
    again.load_state_dict(through_a_file(metric.state_dict()))

    resumed.run([4.0, 5.0], max_epochs=2)

    assert resumed.state.metrics["mean"] == 3.0


def test_a_run_that_is_cut_and_goes_on_shows_the_whole_epoch() -> None:
    """After terminate in an epoch the same engine goes on counting; a new run begins anew."""
    engine, metric = echo(), Average()
    metric.attach(engine, "mean")
    engine.add_event_handler(Events.ITERATION_COMPLETED(once=1), engine.terminate)
    engine.run([1.0, 2.0, 6.0], max_epochs=1)

    assert engine.run([1.0, 2.0, 6.0], max_epochs=1).metrics["mean"] == 3.0
    engine.state.max_epochs = None
    engine.run([5.0, 5.0], max_epochs=1, epoch_length=2)
    assert engine.run([5.0, 7.0], max_epochs=2).metrics["mean"] == 6.0


def test_a_state_is_a_copy() -> None:
    """A state that was taken does not change while the metric goes on, and can be loaded twice."""
    metric = scaffold.ConfusionMatrix(3)
    metric.update(BATCHES[0])
    state = metric.state_dict()
    expected = metric.compute()

    for _ in range(2):
        metric.load_state_dict(state)
        assert metric.compute().equal(expected)
        metric.update(BATCHES[1])


def test_a_state_of_another_kind_is_refused() -> None:
    """Loading what belongs to another metric is an error that names what differs."""
    with pytest.raises(ValueError, match="Accuracy is made of _correct, _count, not _sum, _count"):
        scaffold.Accuracy().load_state_dict(Average().state_dict())


def test_what_reset_makes_is_the_state_of_a_metric_that_says_nothing_of_it() -> None:
    """A metric of the user's own is saved with the engine without another line in its class."""
    metric = Counting()
    metric.update(2.0)

    same = Counting()
    same.load_state_dict(metric.state_dict())

    assert same.compute() == metric.compute() != Counting().compute()


# --- Metrics of other libraries -------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: MulticlassAccuracy(3),
        lambda: torchmetrics.MetricCollection(
            [MulticlassAccuracy(3), torchmetrics.ConfusionMatrix(task="multiclass", num_classes=3)]
        ),
    ],
    ids=["one", "collection"],
)
@pytest.mark.parametrize("cut_at", [1, 2, 4])
def test_a_foreign_metric_counts_and_resumes(make: Callable[[], Any], cut_at: int) -> None:
    """A metric of torchmetrics shows its own value, also when saved and loaded in an epoch."""
    direct = make()
    for scores, y in BATCHES[2:4] + BATCHES[:2]:
        direct.update(scores, y)
    engine = echo()
    attached = attach_metric(engine, "theirs", make())
    engine.add_event_handler(Events.ITERATION_COMPLETED(once=cut_at), engine.terminate)
    engine.run(BATCHES[:4], max_epochs=1)
    saved = through_a_file([engine.state_dict(), attached.state_dict()])

    resumed = echo()
    again = attach_metric(resumed, "theirs", make())
    resumed.load_state_dict(saved[0])
    again.load_state_dict(saved[1])
    metrics = resumed.run(BATCHES[:4], max_epochs=1).metrics

    torch.testing.assert_close(metrics["theirs"], direct.compute())


def test_a_foreign_metric_with_a_history_resumes() -> None:
    """Lists of tensors inside a metric of torchmetrics are saved as well."""
    scores, y = torch.rand(20, generator=GENERATOR), torch.arange(20) % 2
    attached = attach_metric(echo(), "area", BinaryAUROC())
    again = attach_metric(echo(), "area", BinaryAUROC())
    ours = scaffold.ROC_AUC()
    ours.update((scores, y))

    again.update((scores[:3], y[:3]))
    again.compute()  # What it has found out, and remembers, does not outlive the loading.
    attached.update((scores[:7], y[:7]))
    again.load_state_dict(through_a_file(attached.state_dict()))
    torch.testing.assert_close(again.compute(), attached.compute())
    again.update((scores[7:], y[7:]))

    assert float(again.compute()) == pytest.approx(ours.compute())


def test_a_foreign_metric_may_take_the_output_whole() -> None:
    """An update of one argument gets the tuple; the metric can be used in arithmetic."""

    class Longest:
        def reset(self) -> None:
            self.longest = 0

        def update(self, output: tuple[str, ...]) -> None:
            self.longest = max(self.longest, *map(len, output))

        def compute(self) -> int:
            return self.longest

    engine = Engine(lambda engine, batch: {"words": batch})
    metric = attach_metric(engine, "longest", Longest(), lambda output: tuple(output["words"]))
    (2 * metric).attach(engine, "double")

    assert engine.run([["a", "bcd"], ["ef", ""]]).metrics == {"longest": 3, "double": 6}
    with pytest.raises(TypeError, match="Longest cannot be saved: no state_dict"):
        metric.state_dict()


def test_what_is_no_metric_is_refused() -> None:
    """An object without compute is refused when it is attached."""
    with pytest.raises(TypeError, match="dict is no metric: no reset, compute"):
        attach_metric(echo(), "size", {})
