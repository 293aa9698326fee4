"""What a person who knows PyTorch-Ignite writes, with nothing but the import changed."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import scaffold_runtime as scaffold
from scaffold_runtime import (
    Accuracy,
    Average,
    EarlyStopping,
    Engine,
    EventEnum,
    Events,
    Loss,
    Metric,
    MetricUsage,
    ProgressBar,
    RunningAverage,
    TimeLimit,
)

SCORES = torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3], [0.2, 0.8]])
LABELS = torch.tensor([0, 1, 1, 1])


def echo() -> Engine:
    """An engine whose output is its batch."""
    return Engine(lambda engine, batch: batch)


# --- Engine and events ----------------------------------------------------


class Stages(EventEnum):
    """Events of a step's own."""

    FORWARD = "forward"
    BACKWARD = "backward"


def test_events_of_ones_own_are_known_counted_and_filtered() -> None:
    """Registered with the attribute that counts them, they take filters like all others."""
    seen = []

    def step(engine: Engine, batch: int) -> None:
        engine.state.forward += 1
        engine.fire_event(Stages.FORWARD)
        engine.fire_event("done")

    engine = Engine(step)
    engine.register_events(*Stages, event_to_attr={Stages.FORWARD: "forward"})
    engine.register_events("done")
    engine.add_event_handler(Stages.FORWARD(every=2), lambda: seen.append(engine.state.forward))
    engine.run(range(5))

    assert seen == [2, 4]
    assert engine.has_registered_events(Stages.BACKWARD)
    assert engine.has_registered_events("done")
    assert not engine.has_registered_events("undone")


@pytest.mark.parametrize(("skip", "completed"), [(False, [1, 2, 3]), (True, [1, 3])])
def test_an_epoch_can_end_without_being_completed(skip: bool, completed: list[int]) -> None:
    """After terminate_epoch EPOCH_COMPLETED is fired unless it is to be skipped, that once."""
    engine, seen = echo(), []
    engine.add_event_handler(
        Events.ITERATION_COMPLETED(once=4),
        lambda: engine.terminate_epoch(skip_epoch_completed=skip),
    )
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: seen.append(engine.state.epoch))
    engine.run(range(3), max_epochs=3)

    assert seen == completed
    assert engine.state.iteration == 7


# --- Metrics: what their constructors take --------------------------------

BATCH = (SCORES, LABELS)
SCALED = (SCORES, SCORES * 2)
RANKED = (SCORES[:, 1], LABELS)
WITH_DEVICE: list[tuple[Callable[..., Metric], Any]] = [
    (Accuracy, BATCH),
    (lambda **kwargs: Accuracy(ignore_index=0, **kwargs), BATCH),
    (lambda **kwargs: scaffold.TopKCategoricalAccuracy(1, **kwargs), BATCH),
    (Average, SCORES),
    (lambda **kwargs: scaffold.ConfusionMatrix(2, **kwargs), BATCH),
    (lambda **kwargs: scaffold.EpochMetric(lambda y_pred, y: y.sum(), **kwargs), BATCH),
    (lambda **kwargs: Loss(nn.functional.cross_entropy, **kwargs), BATCH),
    (scaffold.Precision, BATCH),
    (scaffold.Recall, BATCH),
    (lambda **kwargs: scaffold.FBeta(1.0, **kwargs), BATCH),
    (lambda **kwargs: scaffold.Fbeta(1.0, **kwargs), BATCH),
    (scaffold.MeanSquaredError, SCALED),
    (scaffold.RootMeanSquaredError, SCALED),
    (scaffold.MeanAbsoluteError, SCALED),
    (scaffold.R2Score, SCALED),
    (scaffold.Perplexity, BATCH),
    (scaffold.BitsPerCharacter, BATCH),
    (scaffold.ROC_AUC, RANKED),
    (scaffold.AveragePrecision, RANKED),
    (RunningAverage, SCORES),
]


@pytest.mark.parametrize(("make", "output"), WITH_DEVICE, ids=range(len(WITH_DEVICE)))
def test_a_metric_keeps_its_sums_where_it_is_told(make: Callable[..., Metric], output: Any) -> None:
    """With `device`, every tensor that update leaves is there; the value is the same on the CPU."""
    here, there, metric = make(device="cpu"), make(device="meta"), make()
    for each in (here, there, metric):
        each.update(output)

    assert tensors(there)
    assert {tensor.device.type for tensor in tensors(there)} == {"meta"}
    assert {tensor.device.type for tensor in tensors(metric)} == {"cpu"}
    torch.testing.assert_close(here.compute(), metric.compute())


def tensors(metric: Metric) -> list[Tensor]:
    """Return what a metric keeps."""
    kept: list[Tensor] = []
    for value in metric.state_dict().values():
        parts = value if isinstance(value, list) else [value]
        kept += [part for part in parts if isinstance(part, Tensor)]
    return kept


def test_arguments_stand_where_they_stand_in_ignite() -> None:
    """Positional ones mean the same: the labels, the device, whether lists are unrolled."""
    assert Accuracy(lambda output: output, True, "cpu", True)._skip_unrolling
    assert scaffold.Precision(lambda output: output, "macro", False, "cpu")._average == "macro"
    assert scaffold.Perplexity(lambda output: output, "cpu", -1)._ignore_index == -1
    assert scaffold.ConfusionMatrix(3, "samples", lambda output: output, "cpu")._device is not None


def test_a_function_that_fails_on_the_first_batch_is_told_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With `check_compute_fn` a warning comes with the first batch, and the run goes on."""
    metric = scaffold.EpochMetric(lambda y_pred, y: 1 / 0, check_compute_fn=True)
    for _ in range(2):
        metric.update(BATCH)

    assert [record.message for record in caplog.records] == [
        "compute_fn fails on the first batch: division by zero"
    ]


# --- Metrics: what outputs may be -----------------------------------------


def test_lists_are_taken_sample_by_sample() -> None:
    """Predictions and targets may be lists of tensors or numbers, of different shapes."""
    seen: list[tuple[Any, Any]] = []

    class Seeing(Metric):
        def reset(self) -> None:
            seen.clear()

        def update(self, output: Any) -> None:
            seen.append((output[0].tolist(), output[1].tolist()))

        def compute(self) -> int:
            return len(seen)

    engine = Engine(lambda engine, batch: ([torch.ones(2), torch.zeros(1)], [1, 0]))
    Seeing().attach(engine, "seen")
    Average(lambda output: output[1], skip_unrolling=True).attach(echo(), "unused")

    assert engine.run([0]).metrics == {"seen": 2}
    assert seen == [([[1.0, 1.0]], [1]), ([[0.0]], [0])]


def test_lists_of_different_lengths_are_refused() -> None:
    """Three predictions and two targets are a mistake that is named."""
    engine = Engine(lambda engine, batch: ([1, 2, 3], [1, 2]))
    Accuracy().attach(engine, "accuracy")

    with pytest.raises(ValueError, match="as many predictions as targets, not lists of 3 and 2"):
        engine.run([0])


def test_several_outputs_are_taken_together_when_asked() -> None:
    """With `skip_unrolling` a loss of several outputs gets them as they are."""

    def loss(y_pred: Sequence[Tensor], y: Sequence[Tensor]) -> Tensor:
        return (y_pred[0] - y[0]).abs().mean() + 2 * (y_pred[1] - y[1]).abs().mean()

    outputs = (torch.ones(3, 1), torch.ones(3, 2)), (torch.zeros(3, 1), torch.zeros(3, 2))
    engine = Engine(lambda engine, batch: outputs)
    Loss(loss, skip_unrolling=True).attach(engine, "loss")

    assert engine.run([0, 0]).metrics == {"loss": 3.0}


def test_a_loss_gets_its_arguments_out_of_a_mapping() -> None:
    """`criterion_kwargs` of the output go to the loss function, and may be missing."""

    def loss(y_pred: Tensor, y: Tensor, factor: float = 1.0) -> Tensor:
        return factor * (y_pred - y).abs().mean()

    outputs = {"y_pred": torch.ones(2), "y": torch.zeros(2), "other": 1}
    for more, expected in (({}, 1.0), ({"criterion_kwargs": {"factor": 3.0}}, 3.0)):
        engine = Engine(lambda engine, batch, more=more: outputs | more)
        Loss(loss).attach(engine, "loss")
        assert engine.run([0]).metrics == {"loss": expected}


def test_no_graph_is_kept_of_what_a_metric_takes_up() -> None:
    """A metric of the user's own need not detach: what it makes of an output has no graph."""

    class Sum(Metric):
        def reset(self) -> None:
            self.total: Any = 0.0

        def update(self, output: Tensor) -> None:
            self.total = self.total + output.sum()

        def compute(self) -> Tensor:
            total: Tensor = self.total
            return total

    weight = nn.Parameter(torch.ones(2))
    engine = Engine(lambda engine, batch: weight * batch)
    Sum(output_transform=lambda output: output * 2).attach(engine, "sum")
    with torch.enable_grad():
        value = engine.run([1.0, 2.0]).metrics["sum"]
        assert torch.is_grad_enabled()

    assert (float(value), value.requires_grad) == (12.0, False)


# --- Metrics: own ones, arithmetic, usages --------------------------------


class Share(Metric):
    """Written as for Ignite: attributes declared before the base class resets them."""

    def __init__(
        self, wanted: int, output_transform: Callable[[Any], Any] = lambda x: x, device: str = "cpu"
    ) -> None:
        self.wanted = wanted
        self._found: Any = None
        self._seen = 0
        super().__init__(output_transform=output_transform, device=device)

    def reset(self) -> None:
        self._found = torch.tensor(0, device=self._device)
        self._seen = 0
        super().reset()  # type: ignore[safe-super]

    def update(self, output: tuple[Tensor, Tensor]) -> None:
        self._found += (output[1] == self.wanted).sum().to(self._device)
        self._seen += len(output[1])

    def compute(self) -> float:
        return int(self._found) / self._seen


def test_a_metric_of_ones_own_is_saved_whole() -> None:
    """What reset makes is saved also where the constructor had made it before."""
    metric, other = Share(1), Share(1)
    metric.update(BATCH)
    assert set(metric.state_dict()) == {"_found", "_seen"}
    other.load_state_dict(metric.state_dict())
    other.update(BATCH)

    assert (metric.compute(), other.compute(), other._seen) == (0.75, 0.75, 8)
    assert type(other) is Share


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("flatten", {"low": 1, "high": 2}),
        ("named", {"both": {"low": 1, "high": 2}}),
        ("both", {"low": 1, "high": 2, "both": {"low": 1, "high": 2}}),
    ],
)
def test_a_value_that_is_a_mapping_goes_where_it_is_told(
    mode: Any, expected: Mapping[str, Any]
) -> None:
    """Under the metric's name, under its own keys, or both."""

    class Range(Metric):
        required_output_keys = ("low", "high")

        def reset(self) -> None:
            self.range: Any = None

        def update(self, output: Any) -> None:
            self.range = output

        def compute(self) -> dict[str, int]:
            return dict(zip(("low", "high"), self.range, strict=True))

    engine = Engine(lambda engine, batch: {"high": 2, "low": 1, "more": 3})
    Range(metrics_result_mode=mode).attach(engine, "both")

    assert engine.run([0]).metrics == expected


def test_a_mode_that_does_not_exist_is_refused() -> None:
    """The message has those that do."""
    with pytest.raises(ValueError, match=r"must be one of \('flatten', 'named', 'both'\)"):
        Average(metrics_result_mode="flat")  # type: ignore[arg-type]


def test_the_methods_of_tensors_make_metrics() -> None:
    """Any method that a metric's value may have can be called on the metric."""
    engine = echo()
    precision, recall = scaffold.Precision(), scaffold.Recall()
    (precision + recall).pow(2).mean().attach(engine, "mean")
    precision.clamp(max=0.75).tolist().attach(engine, "clamped")
    metrics = engine.run([BATCH]).metrics

    assert metrics["mean"] == pytest.approx(((0.5 + 1.0) ** 2 + (1.0 + 2 / 3) ** 2) / 2)
    assert metrics["clamped"] == [0.5, 0.75]


def test_what_tensors_do_not_have_a_metric_has_not() -> None:
    """Asking whether a metric has something gives the truth, so nothing takes it for a model."""
    for name in ("parameters", "misspelled", "_private", "shape"):
        assert not hasattr(Average(), name)


@pytest.mark.parametrize("average", [True, False])
@pytest.mark.parametrize("given", [("precision",), ("recall",), ("precision", "recall")])
def test_fbeta_of_a_precision_and_a_recall_at_hand(average: bool, given: Sequence[str]) -> None:
    """It is what `FBeta` is, with one or both of them made before."""
    makers = {"precision": scaffold.Precision, "recall": scaffold.Recall}
    engine, parts = echo(), {name: makers[name]() for name in given}
    scaffold.Fbeta(2.0, average, **parts).attach(engine, "of parts")  # type: ignore[arg-type]
    scaffold.Fbeta(2.0, average).attach(engine, "alone")
    metrics = engine.run([BATCH]).metrics

    torch.testing.assert_close(metrics["of parts"], metrics["alone"])


def test_fbeta_of_averages_is_refused() -> None:
    """The mean of F-scores is not the F-score of means."""
    with pytest.raises(ValueError, match="Precision must have average=False"):
        scaffold.Fbeta(1.0, precision=scaffold.Precision(average="macro"))


class EverySecond(MetricUsage):
    """A usage of one's own, as Ignite's page has it."""

    def __init__(self) -> None:
        super().__init__(
            started=Events.STARTED,
            completed=Events.COMPLETED,
            iteration_completed=Events.ITERATION_COMPLETED(every=2),
        )


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (EverySecond(), 3.0),
        (MetricUsage(Events.STARTED, Events.COMPLETED, Events.ITERATION_COMPLETED), 2.5),
        (MetricUsage(Events.STARTED, Events.COMPLETED, Events.ITERATION_COMPLETED(once=4)), 4.0),
    ],
)
def test_a_usage_of_ones_own_has_its_events_in_ignites_order(
    usage: MetricUsage, expected: float
) -> None:
    """It begins, gives its value, takes up: the order of the arguments, named or not."""
    engine = echo()
    Average().attach(engine, "mean", usage)

    assert engine.run([1.0, 2.0, 3.0, 4.0]).metrics == {"mean": expected}
    assert (usage.STARTED, usage.COMPLETED) == (Events.STARTED, Events.COMPLETED)
    assert usage.ITERATION_COMPLETED is usage.iteration_completed


def test_usages_have_names() -> None:
    """A usage can be given by the name it has."""
    engine = echo()
    Average().attach(engine, "last", scaffold.BatchWise.usage_name)

    assert engine.run([1.0, 3.0]).metrics == {"last": 3.0}


def test_a_running_average_over_epochs_is_of_the_epochs_values() -> None:
    """With RunningEpochWise a metric's value for each epoch counts, not each iteration's."""
    engine = Engine(lambda engine, batch: batch * engine.state.epoch)
    average, seen = RunningAverage(Average(), alpha=0.5), []
    average.attach(engine, "smooth", usage=scaffold.RunningEpochWise())
    engine.add_event_handler(
        Events.EPOCH_COMPLETED, lambda: seen.append(engine.state.metrics["smooth"])
    )
    engine.run([1.0, 3.0], max_epochs=3)

    assert seen == [2.0, 3.0, 4.5]  # The epochs have 2, 4 and 6.
    average.detach(engine, usage=scaffold.RunningEpochWise())
    assert not average.is_attached(engine, usage=scaffold.RunningEpochWise())


# --- Handlers -------------------------------------------------------------

RISING = [1.0, 1.2, 1.4, 1.6, 1.8, 1.7, 1.6, 1.5, 2.0]


@pytest.mark.parametrize(
    ("options", "epochs"),
    [
        ({}, 7),
        ({"threshold": 0.3}, 3),
        ({"min_delta": 0.3}, 3),
        ({"threshold": 0.3, "cumulative": True}, 7),
        ({"min_delta": 0.3, "cumulative_delta": True}, 7),
        ({"threshold": 0.1, "threshold_mode": "rel"}, 7),
        ({"min_delta": 0.18, "min_delta_mode": "rel"}, 4),
        ({"threshold": 0.18, "threshold_mode": "rel"}, 4),
        ({"mode": "min"}, 3),
    ],
)
def test_early_stopping_has_ignites_arguments(options: dict[str, Any], epochs: int) -> None:
    """A threshold is what a score must be better by, as a difference or a share of the best."""
    trainer, scores = echo(), iter(RISING)
    stopping = EarlyStopping(2, lambda engine: next(scores), trainer, **options)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, stopping)

    assert trainer.run([0], max_epochs=len(RISING)).epoch == epochs


@pytest.mark.parametrize(("scores", "epochs"), [([-1.0, -1.05, -1.09], 2), ([-1.0, -0.8, -0.7], 3)])
def test_a_share_of_a_negative_score_is_a_gain_all_the_same(
    scores: list[float], epochs: int
) -> None:
    """A worse score is no improvement because the best one is below zero."""
    trainer, coming = echo(), iter(scores)
    stopping = EarlyStopping(1, lambda engine: next(coming), trainer, 0.1, threshold_mode="rel")
    trainer.add_event_handler(Events.EPOCH_COMPLETED, stopping)

    assert trainer.run([0], max_epochs=len(scores)).epoch == epochs


def test_early_stopping_can_begin_anew() -> None:
    """After a reset the next score is the best so far, whatever came before."""
    stopping = EarlyStopping(1, lambda engine: 0.5, echo())
    stopping(stopping.trainer)
    stopping.best_score = math.inf
    stopping.reset()
    stopping(stopping.trainer)

    assert (stopping.counter, stopping.best_score) == (0, 0.5)


def test_a_time_limit_is_named_as_in_ignite() -> None:
    """The limit is `limit_sec`, in seconds."""
    assert TimeLimit(limit_sec=60).limit_sec == 60


@pytest.mark.parametrize(
    ("arguments", "options", "shown", "hidden"),
    [
        ((["loss"],), {}, ["loss=2"], ["matrix"]),
        (("all",), {}, ["loss=2", "note=best"], ["matrix"]),
        ((["row"],), {}, ["row=1 0.5"], ["loss"]),
        ((), {"output_transform": lambda output: output}, ["output=3"], ["loss"]),
        ((), {"output_transform": lambda output: {"batch": output}}, ["batch=3"], ["output"]),
        ((["loss"], lambda output: {"batch": output}), {}, ["batch=3", "loss=2"], ["output"]),
        ((), {"state_attributes": ["alpha"]}, ["alpha=0.25"], ["loss"]),
    ],
)
def test_a_progress_bar_shows_what_it_is_told(
    arguments: tuple[Any, ...], options: dict[str, Any], shown: list[str], hidden: list[str]
) -> None:
    """Metrics by name or all that are single, the output, attributes of the state."""
    terminal, engine = io.StringIO(), Engine(lambda engine, batch: batch)
    Average().attach(engine, "loss", "running_batch_wise")
    engine.state.alpha = 0.25
    engine.state.metrics |= {"matrix": torch.eye(2), "row": torch.tensor([1, 0.5]), "note": "best"}
    bar = ProgressBar(0.0, persist=True, file=terminal, disable=False)
    bar.attach(engine, *arguments, **options)
    engine.run([1.0, 2.0, 3.0])

    last = terminal.getvalue().rsplit("\r", 1)[-1]
    assert all(text in last for text in shown)
    assert not any(text in last for text in hidden)
