"""Numbers that say how good the outputs of an engine are."""

from scaffold_runtime.metrics.accuracy import Accuracy
from scaffold_runtime.metrics.loss import Loss
from scaffold_runtime.metrics.metric import (
    BatchWise,
    EpochWise,
    Metric,
    MetricUsage,
    NotComputableError,
    RunningBatchWise,
    RunningEpochWise,
    SingleEpochRunningBatchWise,
)
from scaffold_runtime.metrics.running_average import RunningAverage

__all__ = [
    "Accuracy",
    "BatchWise",
    "EpochWise",
    "Loss",
    "Metric",
    "MetricUsage",
    "NotComputableError",
    "RunningAverage",
    "RunningBatchWise",
    "RunningEpochWise",
    "SingleEpochRunningBatchWise",
]
